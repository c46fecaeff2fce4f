/* SPDX-License-Identifier: MIT */
/* One value of /proc/sys or /sys: a number, or the chosen word of several. */
#ifndef CT_SYS_SETTING_H
#define CT_SYS_SETTING_H

#include "base/base.h"

/* 0; -errno of open or read; -EINVAL: no number.  Signed decimal. */
int ct_setting_number(const char *path, s64 *ret);

/*
 * The word in brackets of "always [madvise] never", or the whole first line where
 * there are none; cut to len - 1 bytes.  0; -errno; -EINVAL: the file is empty.
 */
int ct_setting_word(const char *path, char *ret, size_t len);

#endif
