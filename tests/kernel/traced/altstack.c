/* SPDX-License-Identifier: MIT */
/*
 * Alternate signal stacks: a forked child goes on with its thread's, a new thread
 * and a new image have none; a handler on one that is interrupted stays on it; a
 * frame that does not fit ends the process; what a handler leaves in uc_sigmask
 * is the thread's mask afterwards.
 */
#include <pthread.h>
#include <signal.h>

#include "say.h"

#define LEN 65536

static char stack[LEN] __attribute__((aligned(4096)));
static volatile int depth, deepest;

static int on_stack(const void *at)
{
	return (const char *)at > stack && (const char *)at < stack + LEN;
}

static void set(size_t len)
{
	const stack_t ss = { .ss_sp = stack, .ss_size = len };

	say("sigaltstack", !sigaltstack(&ss, NULL));
}

static int is_set(void)
{
	stack_t now;

	say("query", !sigaltstack(NULL, &now));
	return !(now.ss_flags & SS_DISABLE) && now.ss_sp == stack;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	const stack_t other = { .ss_sp = stack, .ss_size = LEN / 2 };
	char here;

	say("on the alternate stack", on_stack(&here));
	say("no change from there: EPERM", sigaltstack(&other, NULL) == -1 && errno == EPERM);
	deepest = ++depth;
	if (depth < 3)
		raise(SIGUSR1);
	depth--;
	if (sig == SIGUSR2)
		sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGTTIN);
}

static void install(int sig)
{
	struct sigaction act = { .sa_sigaction = handler,
				 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	say("sigaction", !sigaction(sig, &act, NULL));
}

static void *thread(void *unused)
{
	stack_t now;

	say("a new thread has none", !sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE);
	say("and reports zeroes", !now.ss_sp && !now.ss_size);
	return NULL;
}

static int status_of(pid_t pid)
{
	int status;

	say("wait", waitpid(pid, &status, 0) == pid);
	return status;
}

/* The kernel checks that a nested frame stays on the stack it has begun on. */
static void overflow(int sig)
{
	char here[1500];

	memset(here, 0, sizeof(here));
	raise(SIGUSR1);
	__asm__ volatile("" : : "r"(here) : "memory");
}

int main(int argc, char **argv)
{
	char *again[] = { argv[0], (char *)"again", NULL };
	struct sigaction act = { .sa_handler = overflow, .sa_flags = SA_ONSTACK | SA_NODEFER };
	pthread_t t;
	sigset_t now;
	pid_t pid;

	if (argc > 1)
		return is_set();
	set(LEN);
	install(SIGUSR1);
	install(SIGUSR2);
	raise(SIGUSR1);
	say("a handler on top stays on it", deepest == 3);
	raise(SIGUSR2);
	sigprocmask(SIG_SETMASK, NULL, &now);
	say("the mask is what the handler left", sigismember(&now, SIGTTIN));
	say("thread", !pthread_create(&t, NULL, thread, NULL) && !pthread_join(t, NULL));
	pid = fork();
	if (!pid)
		_exit(is_set() ? 0 : 1);
	say("a forked child goes on with it", status_of(pid) == 0);
	pid = vfork();
	if (!pid)
		_exit(is_set() ? 0 : 1);
	say("a vfork child too", status_of(pid) == 0);
	pid = fork();
	if (!pid) {
		execv(argv[0], again);
		_exit(2);
	}
	say("a new image has none", status_of(pid) == 0);
	pid = fork();
	if (!pid) {
		sigaction(SIGUSR1, &act, NULL);
		raise(SIGUSR1);
		_exit(0);
	}
	say("a frame that does not fit: SIGSEGV", WTERMSIG(status_of(pid)) == SIGSEGV);
	return 0;
}
