/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A function whose result may be changed, and is not. */
#include "count.h"

COUNT("fmod_ret/security_file_open", on_open)
