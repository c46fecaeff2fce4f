/* SPDX-License-Identifier: MIT */
/* The checksum without the instruction; apart, for the test that compares both. */
#ifndef CT_SNAPSHOT_CRC_H
#define CT_SNAPSHOT_CRC_H

#include "base/base.h"

u32 ct_snap_crc_table(u32 crc, const void *buf, size_t len);

#endif
