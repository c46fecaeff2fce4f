/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C: the processor's instruction where it has one, a table of eight elsewhere.
 * Both give the same; a test compares them with each other and with published values.
 *
 * Not a protection against anybody: it finds accidents.
 */
#include <errno.h>
#include <string.h>

#include "snapshot/content.h"
#include "snapshot/crc.h"
#include "snapshot/map.h"

/* Reflected 0x1edc6f41. */
#define POLYNOMIAL 0x82f63b78u

#define BOUNCE_LEN (64 * CT_PAGE_SIZE)

static u32 byte_crc(u32 v)
{
	for (int i = 0; i < 8; i++)
		v = v >> 1 ^ (v & 1 ? POLYNOMIAL : 0);
	return v;
}

u32 ct_snap_crc_table(u32 crc, const void *buf, size_t len)
{
	const u8 *p = buf;
	u32 t[4][256];

	/* On the stack and made anew: there is no static storage to share. */
	for (u32 i = 0; i < 256; i++)
		t[0][i] = byte_crc(i);
	for (u32 i = 0; i < 256; i++)
		for (u32 k = 1; k < 4; k++)
			t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
	crc = ~crc;
	for (; len >= 4; p += 4, len -= 4) {
		u32 v;

		memcpy(&v, p, 4);
		crc ^= v;
		crc = t[3][crc & 255] ^ t[2][crc >> 8 & 255] ^ t[1][crc >> 16 & 255] ^
		      t[0][crc >> 24];
	}
	while (len--)
		crc = crc >> 8 ^ t[0][(crc ^ *p++) & 255];
	return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static u32 crc_instruction(u32 crc, const void *buf, size_t len)
{
	const u8 *p = buf;
	u64 c = ~crc;

	for (; len >= 8; p += 8, len -= 8) {
		u64 v;

		memcpy(&v, p, 8);
		c = __builtin_ia32_crc32di(c, v);
	}
	while (len--)
		c = __builtin_ia32_crc32qi((u32)c, *p++);
	return ~(u32)c;
}

uint32_t cowtrace_crc32c(uint32_t crc, const void *buf, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ? crc_instruction(crc, buf, len)
						: ct_snap_crc_table(crc, buf, len);
}

#else

uint32_t cowtrace_crc32c(uint32_t crc, const void *buf, size_t len)
{
	return ct_snap_crc_table(crc, buf, len);
}

#endif

int cowtrace_snapshot_crc(struct cowtrace_snapshot *snap, uint32_t *ret_crc)
{
	int err = ct_snap_get(snap);
	u32 crc = 0;
	char *buf;

	if (err)
		return err;
	buf = ct_snap_map_table(BOUNCE_LEN);
	err = !ret_crc ? -EINVAL : buf ? 0 : -ENOMEM;
	for (u64 at = 0; !err && at < snap->heap->len; at += BOUNCE_LEN) {
		size_t n = ct_min(BOUNCE_LEN, snap->heap->len - at);

		err = ct_snap_read(snap, at, buf, n);
		crc = cowtrace_crc32c(crc, buf, n);
	}
	ct_snap_unmap(buf, BOUNCE_LEN);
	ct_snap_put(snap);
	if (!err)
		*ret_crc = crc;
	return err;
}
