/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* A security hook that may sleep; the one that all kernels of the matrix let sleep. */
#include "count.h"

COUNT("lsm.s/bprm_committed_creds", on_exec)
