/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the calls that map, unmap and change memory.
 *
 * libc's own calls (malloc's, the loader's, a thread's stack) pass by them: what
 * they map is found in the maps at the next fork.
 *
 * Invariant: the guard looks before the call, the event is left after it, and
 * only where it succeeded.
 */
#undef _FILE_OFFSET_BITS /* it would rename mmap() to mmap64(), and both are wanted */
#include <stdarg.h>
#include <sys/mman.h>

#include "preload/preload.h"
#include "traced/guard.h"
#include "traced/thp.h"

static void *map_noted(enum ct_next_id id, void *addr, size_t len, int prot, int flags, int fd,
		       off_t offset)
{
	__typeof__(&mmap) next = CT_READY() ? (__typeof__(&mmap))ct_next_find(id) : NULL;
	struct ct_thp_look look;
	struct ct_call call;
	void *at;

	if (flags & MAP_FIXED)
		ct_guard_range(addr, len);
	ct_call_begin(&call);
	ct_thp_look_none(&look);
	if (flags & MAP_FIXED)
		ct_thp_look_edges(&look, &call, addr, len);
	if (next)
		at = next(addr, len, prot, flags, fd, offset);
	else
		at = (void *)ct_libc_ret(
			ct_sys6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset));
	ct_thp_tell(&look, &call, CT_THP_MMAP, 0);
	if (at != MAP_FAILED) {
		struct ct_event ev = { .type = CT_EV_MAP,
				       .addr = (u64)at,
				       .len = len,
				       .arg = (u64)(u32)prot << 32 | (u32)flags,
				       .arg2 = (u64)(s64)fd,
				       .arg3 = (u64)offset };

		ct_call_end(&call, &ev, CT_SITE_FULL);
	}
	return at;
}

ct_public void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return map_noted(CT_NEXT_mmap, addr, len, prot, flags, fd, offset);
}

ct_public void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return map_noted(CT_NEXT_mmap64, addr, len, prot, flags, fd, offset);
}

ct_public int munmap(void *addr, size_t len)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_guard_range(addr, len);
	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = CT_READY() ? CT_NEXT(munmap)(addr, len)
			 : (int)ct_libc_ret(ct_sys2(SYS_munmap, addr, len));
	ct_thp_tell(&look, &call, CT_THP_MUNMAP, 0);
	if (!ret) {
		struct ct_event ev = { .type = CT_EV_UNMAP, .addr = (u64)addr, .len = len };

		ct_call_end_at(&call, &ev, __builtin_return_address(0));
	}
	return ret;
}

/*
 * What a move may lose: all of it, or the units at its ends; which of them only the
 * kernel's choice of a place says.  And the ends of what it is moved over.
 */
struct moving {
	struct ct_thp_look all, ends, over;
};

static void moving_look(struct moving *m, const struct ct_call *call, const void *addr,
			size_t old_len, size_t new_len, int flags, const void *new_addr)
{
	ct_thp_look_none(&m->all);
	ct_thp_look_none(&m->ends);
	ct_thp_look_none(&m->over);
	if (!call->t_ns)
		return;
	if (flags & MREMAP_MAYMOVE)
		ct_thp_look_all(&m->all, call, addr, old_len);
	ct_thp_look_edges(&m->ends, call, addr, old_len);
	if (new_len < old_len)
		ct_thp_look_edge(&m->ends, call, ct_page_up((u64)addr + new_len));
	if (flags & MREMAP_FIXED)
		ct_thp_look_edges(&m->over, call, new_addr, new_len);
}

static void moving_tell(struct moving *m, const struct ct_call *call, const void *addr,
			const void *at)
{
	/* A mapping of 2 MiB moves as one where both addresses are alike modulo 2 MiB. */
	const bool whole = at != MAP_FAILED && at != addr && ((u64)addr ^ (u64)at) % CT_HUGE_SIZE;

	ct_thp_forget(whole ? &m->ends : &m->all);
	ct_thp_tell(whole ? &m->all : &m->ends, call, CT_THP_MREMAP, 0);
	ct_thp_tell(&m->over, call, CT_THP_MREMAP, 0);
}

ct_public void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
	void *new_addr = NULL, *at;
	struct ct_call call;
	struct moving moving;
	va_list ap;

	/* As libc: the fifth argument is there whether or not it was passed. */
	va_start(ap, flags);
	if (flags & MREMAP_FIXED)
		new_addr = va_arg(ap, void *);
	va_end(ap);
	ct_guard_range(addr, old_len);
	if (flags & MREMAP_FIXED)
		ct_guard_range(new_addr, new_len);
	ct_call_begin(&call);
	moving_look(&moving, &call, addr, old_len, new_len, flags, new_addr);
	if (CT_READY())
		at = CT_NEXT(mremap)(addr, old_len, new_len, flags, new_addr);
	else
		at = (void *)ct_libc_ret(
			ct_sys5(SYS_mremap, addr, old_len, new_len, flags, new_addr));
	moving_tell(&moving, &call, addr, at);
	if (at != MAP_FAILED) {
		struct ct_event ev = { .type = CT_EV_REMAP,
				       .addr = (u64)addr,
				       .len = old_len,
				       .arg = (u64)at,
				       .arg2 = new_len,
				       .arg3 = (u64)(u32)flags };

		ct_call_end(&call, &ev, CT_SITE_FULL);
	}
	return at;
}

ct_public int mprotect(void *addr, size_t len, int prot)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_guard_range(addr, len);
	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = CT_READY() ? CT_NEXT(mprotect)(addr, len, prot)
			 : (int)ct_libc_ret(ct_sys3(SYS_mprotect, addr, len, prot));
	ct_thp_tell(&look, &call, CT_THP_MPROTECT, 0);
	if (!ret) {
		struct ct_event ev = {
			.type = CT_EV_PROTECT, .addr = (u64)addr, .len = len, .arg = (u64)prot
		};

		ct_call_end_at(&call, &ev, __builtin_return_address(0));
	}
	return ret;
}

ct_public int brk(void *addr)
{
	struct ct_thp_look look;
	struct ct_call call;
	void *old = NULL;
	int ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	if (call.t_ns)
		old = (void *)ct_sys1(SYS_brk, 0);
	if (addr < old)
		ct_thp_look_edge(&look, &call, ct_page_up((u64)addr));
	/* libc keeps the break in a variable: only its own brk() will do. */
	ret = CT_NEXT(brk)(addr);
	ct_thp_tell(&look, &call, CT_THP_BRK, 0);
	if (!ret) {
		struct ct_event ev = { .type = CT_EV_BRK, .addr = (u64)old, .arg = (u64)addr };

		ct_call_end(&call, &ev, CT_SITE_FULL);
	}
	return ret;
}

ct_public void *sbrk(intptr_t delta)
{
	struct ct_thp_look look;
	struct ct_call call;
	void *old;

	if (!delta)
		return CT_NEXT(sbrk)(0);
	ct_call_begin(&call);
	ct_thp_look_none(&look);
	if (delta < 0 && call.t_ns)
		ct_thp_look_edge(&look, &call, ct_page_up((u64)ct_sys1(SYS_brk, 0) + (u64)delta));
	old = CT_NEXT(sbrk)(delta);
	ct_thp_tell(&look, &call, CT_THP_BRK, 0);
	if (old != (void *)-1) {
		struct ct_event ev = { .type = CT_EV_BRK,
				       .addr = (u64)old,
				       .arg = (u64)old + (u64)delta };

		ct_call_end(&call, &ev, CT_SITE_FULL);
	}
	return old;
}
