/* SPDX-License-Identifier: MIT */
/*
 * Only the nearest caller is taken: what lies above it on the stack may be left
 * over from calls that have returned, and a wrong frame is worse than none.
 */
#include <string.h>

#include "recorder/callers.h"
#include "sys/mem.h"

/* A direct call to somewhere at most this far before the system call is to its function. */
#define FUNCTION_MAX 0x1000

enum caller {
	NO_CALLER,
	MAY_CALL, /* follows an indirect call, or one into a jump table of its module */
	CALLS,	  /* follows a direct call of the function that made the system call */
};

#if defined(__x86_64__)
static enum caller judge(int mem, const struct ct_modmap *map, u64 pc, u64 addr)
{
	u8 code[7];
	struct ct_rec_frame here, there, f;
	u32 len;
	s32 rel;

	if (!ct_modmap_frame(map, addr, &f) ||
	    ct_mem_read(mem, addr - sizeof(code), code, sizeof(code)) != sizeof(code))
		return NO_CALLER;
	if (code[2] == 0xe8) { /* call rel32 */
		memcpy(&rel, code + 3, sizeof(rel));
		if (!ct_modmap_frame(map, addr + (u64)(s64)rel, &there) ||
		    !ct_modmap_frame(map, pc, &here))
			return NO_CALLER;
		if (there.module != here.module)
			return there.module == f.module ? MAY_CALL : NO_CALLER;
		return there.offset <= here.offset && here.offset - there.offset < FUNCTION_MAX
			       ? CALLS
			       : NO_CALLER;
	}
	/* call r/m64: FF /2, of two to seven bytes */
	for (len = 2; len <= 7; len++)
		if (code[7 - len] == 0xff && ((code[8 - len] >> 3) & 7) == 2)
			return MAY_CALL;
	return NO_CALLER;
}
#else
static enum caller judge(int mem, const struct ct_modmap *map, u64 pc, u64 addr)
{
	(void)mem;
	(void)map;
	(void)pc;
	(void)addr;
	return NO_CALLER;
}
#endif

u32 ct_callers_pick(pid_t pid, const struct ct_modmap *map, u64 pc, u64 *words, u32 nr)
{
	enum caller found = NO_CALLER, is;
	ct_auto_fd int mem = -1;
	u64 caller = 0;
	u32 i;

	/* A function's frame may hold what older calls have left behind: the sure one wins. */
	for (i = 0; map && i < nr && found != CALLS; i++) {
		if (mem < 0 && ct_mem_open(pid, &mem))
			break;
		is = judge(mem, map, pc, words[i]);
		if (is > found) {
			found = is;
			caller = words[i];
		}
	}
	/* The address after the system call instruction is a return address as it is. */
	words[0] = pc;
	words[1] = caller;
	return caller ? 2 : 1;
}
