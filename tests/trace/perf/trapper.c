/* SPDX-License-Identifier: MIT */
/*
 * Programs that have to do with SIGTRAP, stacks of signals and masks, each of which
 * forks and writes pages that both share; usage: trapper CASE.  Status 0: all was as it
 * is without anybody watching.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64
#define PAGE 4096
#define need(cond)                                                                 \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static volatile char *page;
static volatile sig_atomic_t caught, strange;

__attribute__((noinline)) void trap_write(volatile char *at);
void trap_write(volatile char *at)
{
	*at = 1;
}

static void write_pages(int from)
{
	for (int i = from; i < PAGES; i += 2)
		trap_write(page + i * PAGE);
}

/* A child holds the pages while they are written here. */
static void fork_and_write(void)
{
	int fds[2], status;
	pid_t pid;
	char c;

	need(!pipe(fds));
	pid = fork();
	need(pid >= 0);
	if (!pid) {
		close(fds[1]);
		write_pages(1);
		_exit(read(fds[0], &c, 1) != 0);
	}
	close(fds[0]);
	write_pages(0);
	close(fds[1]);
	need(waitpid(pid, &status, 0) == pid && !status);
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	caught++;
	strange += info->si_code > 0;
}

static const struct sigaction catcher = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

static void run_plain(void)
{
	fork_and_write();
}

static void run_handler(void)
{
	struct sigaction old;

	fork_and_write();
	need(!sigaction(SIGTRAP, &catcher, &old) && old.sa_handler == SIG_DFL);
	need(!sigaction(SIGTRAP, NULL, &old) && old.sa_sigaction == on_trap);
	fork_and_write();
	need(!caught);
	raise(SIGTRAP);
	need(caught == 1 && !strange);
}

/* While other threads write. */
static void *writer(void *arg)
{
	const int *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_ACQUIRE))
		write_pages(0);
	return NULL;
}

static void run_midway(void)
{
	int stop = 0, fds[2], status;
	pthread_t thread;
	pid_t pid;
	char c;

	need(!pthread_create(&thread, NULL, writer, &stop) && !pipe(fds));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	need(!sigaction(SIGTRAP, &catcher, NULL));
	usleep(20000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	close(fds[1]);
	need(waitpid(pid, &status, 0) == pid && !status);
	need(!caught);
}

static void run_ignored(void)
{
	need(signal(SIGTRAP, SIG_IGN) == SIG_DFL);
	fork_and_write();
	raise(SIGTRAP);
	need(signal(SIGTRAP, SIG_DFL) == SIG_IGN);
}

static void run_default(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	fork_and_write();
}

/* Set by a call that nobody sees, as runtimes do. */
static void run_raw(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} act = { .handler = SIG_IGN };

	need(!syscall(SYS_rt_sigaction, SIGTRAP, &act, NULL, 8));
	fork_and_write();
}

static void run_waits(void)
{
	sigset_t trap;
	int sig = 0;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	need(!sigprocmask(SIG_BLOCK, &trap, NULL));
	fork_and_write();
	kill(getpid(), SIGTRAP);
	need(!sigwait(&trap, &sig) && sig == SIGTRAP);
	fork_and_write();
	need(sigpending(&trap) == 0 && !sigismember(&trap, SIGTRAP));
}

static void *blocked(void *arg)
{
	sigset_t all, now;

	sigfillset(&all);
	need(!pthread_sigmask(SIG_SETMASK, &all, NULL));
	need(!pthread_sigmask(SIG_SETMASK, NULL, &now) && sigismember(&now, SIGTRAP) == 1);
	fork_and_write();
	return arg;
}

static void run_blocked(void)
{
	pthread_t thread[4];
	sigset_t all;

	sigfillset(&all);
	for (int i = 0; i < 4; i++)
		need(!pthread_create(&thread[i], NULL, blocked, NULL) &&
		     !pthread_join(thread[i], NULL));
	need(!syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8));
	fork_and_write();
	/* Blocked in truth, over an exec: whatever waits must not kill the next image. */
	execl("/bin/true", "true", (char *)NULL);
	_exit(1);
}

static void on_user(int sig)
{
	(void)sig;
	write_pages(0);
	caught++;
}

/* A handler on a stack that has room for itself and no more. */
static void run_onstack(void)
{
	const stack_t stack = { .ss_sp = malloc(12 << 10), .ss_size = 12 << 10 };
	struct sigaction sa = { .sa_handler = on_user, .sa_flags = SA_ONSTACK }, old;
	int fds[2], status;
	pid_t pid;
	char c;

	need(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &sa, NULL));
	need(!sigaction(SIGUSR1, NULL, &old) && !sigismember(&old.sa_mask, SIGTRAP));
	need(!pipe(fds));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	raise(SIGUSR1);
	need(caught == 1);
	close(fds[1]);
	need(waitpid(pid, &status, 0) == pid && !status);
	fork_and_write();
}

static int thread_body(void *arg)
{
	(void)arg;
	write_pages(0);
	return 0;
}

static void run_clone(void)
{
	const size_t len = 64 << 10;
	char *stack = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fds[2], status;
	pid_t pid;
	char c;

	fork_and_write();
	need(!pipe(fds));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	need(clone(thread_body, stack + len,
		   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		   NULL) > 0);
	usleep(20000);
	close(fds[1]);
	need(waitpid(pid, &status, 0) == pid && !status);
}

static void run_quiet(void)
{
	fork_and_write();
	need(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	fork_and_write();
}

static void run_breakpoint(void)
{
	fork_and_write();
#if defined(__x86_64__)
	__asm__ volatile("int3");
#else
	raise(SIGTRAP);
#endif
}

static void run_spawn(void)
{
	for (int i = 0; i < 10; i++) {
		int fds[2], status;
		pid_t pid;
		char c;

		need(!pipe(fds));
		pid = fork();
		if (!pid) {
			close(fds[1]);
			_exit(read(fds[0], &c, 1) != 0);
		}
		close(fds[0]);
		need(system("exit 7") == 7 << 8);
		close(fds[1]);
		need(waitpid(pid, &status, 0) == pid && !status);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "plain", run_plain },	    { "handler", run_handler },
		{ "midway", run_midway },   { "ignored", run_ignored },
		{ "default", run_default }, { "raw", run_raw },
		{ "waits", run_waits },	    { "blocked", run_blocked },
		{ "onstack", run_onstack }, { "clone", run_clone },
		{ "quiet", run_quiet },	    { "breakpoint", run_breakpoint },
		{ "spawn", run_spawn },
	};

	page = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(page != MAP_FAILED);
	madvise((void *)page, PAGES * PAGE, MADV_NOHUGEPAGE);
	memset((void *)page, 2, PAGES * PAGE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc != 2 || strcmp(cases[i].name, argv[1]))
			continue;
		cases[i].run();
		return 0;
	}
	return 2;
}
