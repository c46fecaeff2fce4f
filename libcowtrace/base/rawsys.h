/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc: no errno, no cancellation point, no wrapper of
 * anybody's (ours included) in between.  For code that runs in the traced
 * program.  Each returns what the kernel returned: >= 0, or -errno.
 */
#ifndef CT_BASE_RAWSYS_H
#define CT_BASE_RAWSYS_H

#include <sys/syscall.h>

#if defined(__x86_64__)

static inline long ct_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

static inline long ct_sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

#else
#error "cowtrace needs x86-64 or arm64"
#endif

#define ct_sys0(nr) ct_sys6(nr, 0, 0, 0, 0, 0, 0)
#define ct_sys1(nr, a) ct_sys6(nr, (long)(a), 0, 0, 0, 0, 0)
#define ct_sys2(nr, a, b) ct_sys6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define ct_sys3(nr, a, b, c) ct_sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define ct_sys4(nr, a, b, c, d) ct_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define ct_sys5(nr, a, b, c, d, e) \
	ct_sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

#endif
