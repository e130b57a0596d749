/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A security hook. */
#include "count.h"

COUNT("lsm/file_open", on_open)
