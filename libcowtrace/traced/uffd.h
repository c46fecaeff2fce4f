/* SPDX-License-Identifier: MIT */
/*
 * The image's userfaultfd: made here, served by the recorder.
 */
#ifndef CT_TRACED_UFFD_H
#define CT_TRACED_UFFD_H

#include "base/base.h"

/*
 * Makes a userfaultfd from the recorder's open /dev/userfaultfd and sends it,
 * with the range of the handler's stacks, as struct ct_uffd_msg over sock (the
 * socket of the HELLO).  device < 0: -ENODEV is what the message says.  Neither
 * descriptor is closed; none other stays open.  Async-signal-safe, errno
 * untouched.
 *
 * Returns 0, or -errno: then the program runs without.
 */
int ct_uffd_offer(int sock, int device, const u64 own[2]);

#endif
