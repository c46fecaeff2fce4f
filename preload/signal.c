/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the calls that set signal handlers, masks and stacks.  They hide
 * our handler from the program, and keep its signal out of the masks; where
 * there is no handler of ours they pass through.
 *
 * Not wrapped: what waits for signals (sigwait, signalfd).  A signal of ours is
 * gone before its thread makes the next system call.
 */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "preload/preload.h"
#include "traced/altstack.h"
#include "traced/sigaction.h"
#include "traced/sighandler.h"
#include "traced/sigmask.h"

ct_public int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct ct_sigaction call;
	const struct sigaction *pass = ct_sigaction_begin(&call, sig, act);
	int ret = CT_NEXT(sigaction)(sig, pass, old);

	if (!ret)
		ct_sigaction_end(&call, sig, act, old);
	return ret;
}

static sighandler_t signal_noted(enum ct_next_id id, int sig, sighandler_t handler)
{
	sighandler_t old;

	if (!ct_sigaction_simple(sig, handler))
		return SIG_DFL;
	old = ((__typeof__(&signal))ct_next_find(id))(sig, handler);
	return ct_sighandler_is((void *)old) ? SIG_DFL : old;
}

ct_public sighandler_t signal(int sig, sighandler_t handler)
{
	return signal_noted(CT_NEXT_signal, sig, handler);
}

ct_public sighandler_t ssignal(int sig, sighandler_t handler)
{
	return signal_noted(CT_NEXT_signal, sig, handler);
}

ct_public sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return signal_noted(CT_NEXT___sysv_signal, sig, handler);
}

ct_public sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return signal_noted(CT_NEXT___sysv_signal, sig, handler);
}

ct_public int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	struct ct_sigmask mask;
	int ret = CT_NEXT(pthread_sigmask)(how, ct_sigmask_begin(&mask, how, set), old);

	if (!ret)
		ct_sigmask_end(&mask, old);
	return ret;
}

ct_public int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	struct ct_sigmask mask;
	int ret = CT_NEXT(sigprocmask)(how, ct_sigmask_begin(&mask, how, set), old);

	if (!ret)
		ct_sigmask_end(&mask, old);
	return ret;
}

ct_public int sigaltstack(const stack_t *new, stack_t *old)
{
	const struct ct_shim *shim = ct_shim;

	if (!shim || !shim->stack_signal)
		return CT_NEXT(sigaltstack)(new, old);
	return (int)ct_libc_ret(ct_altstack_call(new, old));
}

ct_public int sigsuspend(const sigset_t *set)
{
	sigset_t copy;

	return CT_NEXT(sigsuspend)(ct_sigmask_for_wait(set, &copy));
}

ct_public int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
		    const sigset_t *set)
{
	sigset_t copy;

	return CT_NEXT(ppoll)(fds, nr, timeout, ct_sigmask_for_wait(set, &copy));
}

int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *set,
		size_t fds_len);

/* What programs call that were built with _FORTIFY_SOURCE. */
ct_public int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
			  const sigset_t *set, size_t fds_len)
{
	sigset_t copy;

	return CT_NEXT(__ppoll_chk)(fds, nr, timeout, ct_sigmask_for_wait(set, &copy), fds_len);
}

ct_public int pselect(int nr, fd_set *in, fd_set *out, fd_set *except,
		      const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;

	return CT_NEXT(pselect)(nr, in, out, except, timeout, ct_sigmask_for_wait(set, &copy));
}

ct_public int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout,
			  const sigset_t *set)
{
	sigset_t copy;

	return CT_NEXT(epoll_pwait)(epfd, events, max, timeout, ct_sigmask_for_wait(set, &copy));
}

ct_public int epoll_pwait2(int epfd, struct epoll_event *events, int max,
			   const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;

	return CT_NEXT(epoll_pwait2)(epfd, events, max, timeout, ct_sigmask_for_wait(set, &copy));
}
