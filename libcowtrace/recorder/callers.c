/* SPDX-License-Identifier: MIT */
/*
 * Only the nearest caller is taken: what lies above it on the stack may be left
 * over from calls that have returned, and a wrong frame is worse than none.
 */
#include <sys/uio.h>

#include "recorder/callers.h"

/* Is there a call instruction that ends at this address?  x86-64. */
static bool follows_call(pid_t pid, u64 addr)
{
#if defined(__x86_64__)
	u8 code[7];
	struct iovec to = { code, sizeof(code) };
	struct iovec from = { (void *)(addr - sizeof(code)), sizeof(code) };
	u32 len;

	if (process_vm_readv(pid, &to, 1, &from, 1, 0) != sizeof(code))
		return false;
	if (code[2] == 0xe8) /* call rel32 */
		return true;
	/* call r/m64: FF /2, of two to seven bytes */
	for (len = 2; len <= 7; len++)
		if (code[7 - len] == 0xff && ((code[8 - len] >> 3) & 7) == 2)
			return true;
	return false;
#else
	(void)pid;
	(void)addr;
	return true;
#endif
}

u32 ct_callers_pick(pid_t pid, const struct ct_modmap *map, u64 pc, u64 *words, u32 nr)
{
	struct ct_rec_frame f;
	u64 caller = 0;
	u32 i;

	for (i = 0; map && i < nr && !caller; i++)
		if (ct_modmap_frame(map, words[i], &f) && follows_call(pid, words[i]))
			caller = words[i];
	/* The address after the system call instruction is a return address as it is. */
	words[0] = pc;
	words[1] = caller;
	return caller ? 2 : 1;
}
