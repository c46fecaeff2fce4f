/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the calls that advise, lock and bind memory.
 *
 * Advice that gives memory back is frequent (allocators purge by it) and keeps
 * its caller only; advice that changes how the kernel treats a region (huge
 * pages, merging, forks) keeps the whole call site.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "preload/preload.h"
#include "traced/guard.h"
#include "traced/probe.h"
#include "traced/thp.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* process_madvise() on oneself without a pidfd (6.14; the second was renumbered in 6.17). */
static bool names_self(int pidfd)
{
	return pidfd == -10000 || pidfd == -10001 || pidfd == -20000;
}

/* Changes no mapping, and no property of a region that would split it. */
static bool only_reads(int advice)
{
	return advice == MADV_WILLNEED || advice == MADV_POPULATE_READ ||
	       advice == MADV_POPULATE_WRITE || advice == MADV_COLLAPSE;
}

static bool gives_back(int advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_COLD ||
	       advice == MADV_PAGEOUT || advice == MADV_WILLNEED || advice == MADV_REMOVE ||
	       advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
}

/* A page-out takes whole huge pages too; all other advice leaves those as they are. */
static void look_advice(struct ct_thp_look *look, const struct ct_call *call, const void *addr,
			size_t len, int advice)
{
	ct_thp_look_none(look);
	if (advice == MADV_HUGEPAGE || advice == MADV_COLLAPSE)
		ct_thp_asked(call);
	if (advice == MADV_PAGEOUT)
		ct_thp_look_all(look, call, addr, len);
	else if (!only_reads(advice))
		ct_thp_look_edges(look, call, addr, len);
}

static void note_advice(struct ct_call *call, const void *addr, size_t len, int advice,
			void *caller)
{
	struct ct_event ev = {
		.type = CT_EV_ADVISE, .addr = (u64)addr, .len = len, .arg = (u64)advice
	};

	if (gives_back(advice))
		ct_call_end_at(call, &ev, caller);
	else
		ct_call_end(call, &ev, CT_SITE_FULL);
}

ct_public int madvise(void *addr, size_t len, int advice)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	if (advice == MADV_DONTFORK)
		ct_guard_range(addr, len);
	ct_call_begin(&call);
	look_advice(&look, &call, addr, len, advice);
	ret = CT_READY() ? CT_NEXT(madvise)(addr, len, advice)
			 : (int)ct_libc_ret(ct_sys3(SYS_madvise, addr, len, advice));
	ct_thp_tell(&look, &call, CT_THP_MADVISE, (u32)advice);
	if (!ret)
		note_advice(&call, addr, len, advice, __builtin_return_address(0));
	return ret;
}

ct_public int posix_madvise(void *addr, size_t len, int advice)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	if (advice != POSIX_MADV_DONTNEED)
		look_advice(&look, &call, addr, len, advice);
	ret = CT_NEXT(posix_madvise)(addr, len, advice);
	ct_thp_tell(&look, &call, CT_THP_MADVISE, (u32)advice);
	/* libc makes POSIX_MADV_DONTNEED a no-op: it must not lose data. */
	if (!ret && advice != POSIX_MADV_DONTNEED)
		note_advice(&call, addr, len, advice, __builtin_return_address(0));
	return ret;
}

/* Does this pidfd mean us?  By its fdinfo; the descriptor is closed at once. */
static bool pidfd_is_self(int pidfd)
{
	static const char key[] = "\nPid:\t";
	char path[40] = "/proc/self/fdinfo/", text[512];
	char digits[12];
	u32 nr = 0, n = (u32)pidfd, at = (u32)strlen(path);
	long fd, len;
	char *pos;
	s32 pid = 0;

	if (pidfd < 0)
		return names_self(pidfd);
	do
		digits[nr++] = (char)('0' + n % 10);
	while (n /= 10);
	while (nr)
		path[at++] = digits[--nr];
	path[at] = '\0';
	fd = ct_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	len = ct_sys3(SYS_read, fd, text, sizeof(text) - 1);
	ct_sys1(SYS_close, fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	pos = strstr(text, key);
	if (!pos)
		return false;
	for (pos += sizeof(key) - 1; *pos >= '0' && *pos <= '9'; pos++)
		pid = pid * 10 + (*pos - '0');
	return pid == (s32)ct_sys0(SYS_getpid);
}

ct_public ssize_t process_madvise(int pidfd, const struct iovec *iov, size_t nr, int advice,
				  unsigned flags)
{
	struct ct_call call;
	ssize_t ret, left;
	size_t i;

	ct_call_begin(&call);
	ret = CT_READY() ? CT_NEXT(process_madvise)(pidfd, iov, nr, advice, flags)
			 : ct_libc_ret(ct_sys5(SYS_process_madvise, pidfd, iov, nr, advice, flags));
	if (ret <= 0 || !call.t_ns || !pidfd_is_self(pidfd))
		return ret;
	/* It may have stopped in the middle: ret says after how many bytes. */
	for (i = 0, left = ret; i < nr && left > 0; left -= (ssize_t)iov[i].iov_len, i++)
		note_advice(&call, iov[i].iov_base, ct_min(iov[i].iov_len, (size_t)left), advice,
			    __builtin_return_address(0));
	return ret;
}

static void note_lock(struct ct_call *call, const void *addr, size_t len, bool lock, u32 flags,
		      void *caller)
{
	struct ct_event ev = {
		.type = CT_EV_LOCK, .addr = (u64)addr, .len = len, .arg = lock, .arg2 = flags
	};

	ct_call_end_at(call, &ev, caller);
}

ct_public int mlock(const void *addr, size_t len)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = CT_READY() ? CT_NEXT(mlock)(addr, len)
			 : (int)ct_libc_ret(ct_sys2(SYS_mlock, addr, len));
	ct_thp_tell(&look, &call, CT_THP_MLOCK, 0);
	if (!ret)
		note_lock(&call, addr, len, true, 0, __builtin_return_address(0));
	return ret;
}

ct_public int mlock2(const void *addr, size_t len, unsigned flags)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = CT_READY() ? CT_NEXT(mlock2)(addr, len, flags)
			 : (int)ct_libc_ret(ct_sys3(SYS_mlock2, addr, len, flags));
	ct_thp_tell(&look, &call, CT_THP_MLOCK, 0);
	if (!ret)
		note_lock(&call, addr, len, true, flags, __builtin_return_address(0));
	return ret;
}

ct_public int munlock(const void *addr, size_t len)
{
	struct ct_thp_look look;
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = CT_READY() ? CT_NEXT(munlock)(addr, len)
			 : (int)ct_libc_ret(ct_sys2(SYS_munlock, addr, len));
	ct_thp_tell(&look, &call, CT_THP_MUNLOCK, 0);
	if (!ret)
		note_lock(&call, addr, len, false, 0, __builtin_return_address(0));
	return ret;
}

ct_public int mlockall(int flags)
{
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ret = CT_READY() ? CT_NEXT(mlockall)(flags)
			 : (int)ct_libc_ret(ct_sys1(SYS_mlockall, flags));
	if (!ret)
		note_lock(&call, NULL, 0, true, (u32)flags, __builtin_return_address(0));
	return ret;
}

ct_public int munlockall(void)
{
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ret = CT_READY() ? CT_NEXT(munlockall)() : (int)ct_libc_ret(ct_sys0(SYS_munlockall));
	if (!ret)
		note_lock(&call, NULL, 0, false, 0, __builtin_return_address(0));
	return ret;
}

long mbind(void *addr, unsigned long len, int mode, const unsigned long *nodes,
	   unsigned long max_node, unsigned flags);

/* libnuma's, where the program has it; not in libc, so there is no next to look for. */
ct_public long mbind(void *addr, unsigned long len, int mode, const unsigned long *nodes,
		     unsigned long max_node, unsigned flags)
{
	struct ct_thp_look look;
	struct ct_call call;
	long ret;

	ct_call_begin(&call);
	ct_thp_look_none(&look);
	ct_thp_look_edges(&look, &call, addr, len);
	ret = ct_libc_ret(ct_sys6(SYS_mbind, (long)addr, (long)len, mode, (long)nodes,
				  (long)max_node, flags));
	ct_thp_tell(&look, &call, CT_THP_MBIND, 0);
	if (!ret) {
		struct ct_event ev = { .type = CT_EV_BIND,
				       .addr = (u64)addr,
				       .len = len,
				       .arg = (u64)mode,
				       .arg2 = flags };

		ct_call_end_at(&call, &ev, __builtin_return_address(0));
	}
	return ret;
}
