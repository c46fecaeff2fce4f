/* SPDX-License-Identifier: MIT */
/*
 * Programs that are asked for their stacks, and have their own ideas of signals,
 * masks and stacks.  Each checks what it would see alone, in vain or not: it must
 * end with 0 traced and untraced.
 *
 * What is to be seen from outside are the first writes to a range that it prints,
 * each by a function whose name says who it was.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <spawn.h>
#include <threads.h>
#include <time.h>

#include "../hostile/host.h"

#define NOINLINE __attribute__((noinline))
#define AREA_PAGES 8192
#define SIG 62

/* Shared: what we keep ourselves is no first write. */
static struct control {
	char *cursor;
	volatile int go, seen, code;
	pid_t from;
} * ctl;

static char *area;

static inline __attribute__((always_inline)) void write_pages(int n)
{
	char *at = __atomic_fetch_add(&ctl->cursor, (long)n * 4096, __ATOMIC_RELAXED);
	int i;

	check(at + n * 4096L <= area + AREA_PAGES * 4096L);
	for (i = 0; i < n; i++)
		((volatile char *)at)[i * 4096L] = 2;
}

#define WRITER(name)                     \
	static NOINLINE void name(int n) \
	{                                \
		write_pages(n);          \
		__asm__ volatile("");    \
	}

WRITER(w_main)
WRITER(w_child)
WRITER(w_thread)
WRITER(w_early)
WRITER(w_handler)
WRITER(w_wait)
WRITER(w_before)
WRITER(w_after)
WRITER(w_tiny)
WRITER(w_large)
WRITER(w_deep)
WRITER(w_astray)

static void area_make(void)
{
	ctl = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	area = mmap(NULL, AREA_PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	check(ctl != MAP_FAILED && area != MAP_FAILED);
	madvise(area, AREA_PAGES * 4096L, MADV_NOHUGEPAGE);
	memset(area, 1, AREA_PAGES * 4096L);
	ctl->cursor = area;
	printf("area %p %p\n", (void *)area, (void *)(area + AREA_PAGES * 4096L));
	fflush(stdout);
}

/* Where a library lies that we know nothing of. */
static void library_print(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start, end, first = 0, last = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "libcowtrace-preload") &&
		    sscanf(line, "%lx-%lx", &start, &end) == 2) {
			first = first ? first : start;
			last = end;
		}
	if (maps)
		fclose(maps);
	printf("library %#lx %#lx\n", first, last);
	fflush(stdout);
}

/* All pages are shared from here on, until the child is let go. */
static pid_t share(void)
{
	pid_t pid = fork();

	check(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	return pid;
}

static void unshare_again(pid_t pid)
{
	check(!kill(pid, SIGKILL));
	wait_for(pid);
}

static void *thread_writes(void *arg)
{
	w_thread(10);
	return arg;
}

static void *early_writes(void *arg)
{
	while (!ctl->go)
		usleep(100);
	w_early(10);
	return arg;
}

static void thread_run(void *(*fn)(void *))
{
	pthread_t thread;
	void *ret;

	check(!pthread_create(&thread, NULL, fn, &thread));
	check(!pthread_join(thread, &ret) && ret == &thread);
}

static NOINLINE void deep(int depth)
{
	volatile char here[64];

	here[0] = 1;
	if (depth)
		deep(depth - 1);
	else
		w_deep(5);
	here[1] = 1;
}

static int thrd_writes(void *arg)
{
	w_thread(10);
	return 33;
}

static void run_threads(void)
{
	thrd_t thrd;
	int ret;
	pthread_t early;
	pid_t pid, other;

	check(!pthread_create(&early, NULL, early_writes, NULL));
	pid = share();
	w_main(20);
	ctl->go = 1;
	check(!pthread_join(early, NULL));
	thread_run(thread_writes);
	check(thrd_create(&thrd, thrd_writes, NULL) == thrd_success);
	check(thrd_join(thrd, &ret) == thrd_success && ret == 33);
	deep(40);
	other = fork();
	if (!other) {
		w_child(20);
		thread_run(thread_writes);
		_exit(0);
	}
	check(!wait_for(other));
	other = _Fork();
	if (!other) {
		w_child(20);
		_exit(0);
	}
	check(!wait_for(other));
	unshare_again(pid);
}

static bool mask_has(int sig)
{
	sigset_t now;

	check(!pthread_sigmask(SIG_SETMASK, NULL, &now));
	return sigismember(&now, sig);
}

/* What the kernel says; the program alone has no other way to tell. */
static bool really_blocked(void)
{
	uint64_t mask = 0;

	check(!syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
	return mask >> (SIG - 1) & 1;
}

static void in_handler(int sig)
{
	w_handler(5);
	ctl->seen++;
}

static void wait_in(int how, const sigset_t *all_but)
{
	struct timespec soon = { .tv_sec = 20 };
	struct epoll_event event;
	int epfd = epoll_create1(0);

	/* USR1 is pending and let in for the time of the wait. */
	check(!raise(SIGUSR1));
	if (how == 0)
		check(sigsuspend(all_but) == -1 && errno == EINTR);
	else if (how == 1)
		check(ppoll(NULL, 0, &soon, all_but) == -1 && errno == EINTR);
	else if (how == 2)
		check(pselect(0, NULL, NULL, NULL, &soon, all_but) == -1 && errno == EINTR);
	else if (how == 3)
		check(epoll_pwait(epfd, &event, 1, 20000, all_but) == -1 && errno == EINTR);
	else
		check(epoll_pwait2(epfd, &event, 1, &soon, all_but) == -1 &&
		      (errno == EINTR || errno == ENOSYS));
	close(epfd);
}

static void *thread_masked(void *arg)
{
	check(mask_has(SIG) && mask_has(SIGUSR2));
	w_thread(10);
	return arg;
}

static void run_masks(void)
{
	struct sigaction act = { .sa_handler = in_handler }, old;
	sigset_t all, was, one;
	pid_t pid;
	int i;

	sigfillset(&all);
	check(!mask_has(SIG));
	sigfillset(&act.sa_mask);
	check(!sigaction(SIGUSR1, &act, NULL));
	check(!sigaction(SIGUSR1, NULL, &old) && sigismember(&old.sa_mask, SIG));
	check(old.sa_handler == in_handler);
	pid = share();
	check(!raise(SIGUSR1) && ctl->seen == 1);
	check(!sigprocmask(SIG_BLOCK, &all, &was) && !sigismember(&was, SIG));
	check(mask_has(SIG) && mask_has(SIGUSR1));
	w_main(10);
	check(!pthread_sigmask(SIG_SETMASK, &all, &was) && sigismember(&was, SIG));
	w_main(10);
	thread_run(thread_masked);
	one = all;
	sigdelset(&one, SIGUSR1);
	for (i = 0; i < 5; i++) {
		wait_in(i, &one);
		check(ctl->seen == 2 + i && mask_has(SIG) && mask_has(SIGUSR1));
	}
	sigemptyset(&one);
	sigaddset(&one, SIG);
	check(!sigprocmask(SIG_UNBLOCK, &one, &was) && sigismember(&was, SIG) && !mask_has(SIG));
	check(mask_has(SIGUSR1) && !sigprocmask(SIG_BLOCK, &one, &was) && !sigismember(&was, SIG));
	check(mask_has(SIG) && !sigprocmask(SIG_SETMASK, &was, NULL) && !mask_has(SIG));
	check(sigprocmask(77, &one, NULL) == -1 && errno == EINVAL && !mask_has(SIG));
	/* The flag of a mask goes with the handler. */
	sigemptyset(&act.sa_mask);
	check(!sigaction(SIGUSR1, &act, &old) && sigismember(&old.sa_mask, SIG));
	check(!sigaction(SIGUSR1, NULL, &old) && !sigismember(&old.sa_mask, SIG));
	sigaddset(&act.sa_mask, SIG);
	check(!sigaction(SIGUSR1, &act, NULL));
	check(signal(SIGUSR1, SIG_DFL) == in_handler);
	check(!sigaction(SIGUSR1, NULL, &old) && !sigismember(&old.sa_mask, SIG));
	w_after(10);
	unshare_again(pid);
}

static void noted(int sig, siginfo_t *info, void *context)
{
	ctl->seen++;
	ctl->code = info->si_code;
	ctl->from = info->si_pid;
}

static void run_taken(void)
{
	struct sigaction act = { .sa_sigaction = noted, .sa_flags = SA_SIGINFO | SA_RESTART }, old;
	struct sigaction masked = { .sa_handler = in_handler };
	sigset_t one;
	pid_t pid;

	sigemptyset(&one);
	sigaddset(&one, SIG);
	sigaddset(&masked.sa_mask, SIG);
	check(!sigaction(SIGUSR1, &masked, NULL));
	pid = share();
	w_before(10);
	check(!sigprocmask(SIG_BLOCK, &one, NULL));
	check(!sigaction(SIG, &act, &old) && old.sa_handler == SIG_DFL && !old.sa_flags);
	check(!sigaction(SIG, NULL, &old) && old.sa_sigaction == noted);
	check(mask_has(SIG) && really_blocked());
	check(!kill(getpid(), SIG) && !ctl->seen);
	check(!sigprocmask(SIG_UNBLOCK, &one, NULL) && ctl->seen == 1 && ctl->from == getpid());
	check(!raise(SIG) && ctl->seen == 2);
	check(!sigaction(SIGUSR1, NULL, &old) && sigismember(&old.sa_mask, SIG));
	w_after(10);
	check(signal(SIG, SIG_IGN) != SIG_ERR && !raise(SIG) && ctl->seen == 2);
	check(signal(SIG, SIG_DFL) == SIG_IGN);
	unshare_again(pid);
}

static void *busy_writes(void *arg)
{
	w_thread(400);
	return arg;
}

/* Taken while all threads are being asked: none of that comes to the handler. */
static void run_taking(void)
{
	struct sigaction act = { .sa_sigaction = noted, .sa_flags = SA_SIGINFO | SA_RESTART };
	pthread_t thread[4];
	pid_t pid = share();
	int i;

	for (i = 0; i < 4; i++)
		check(!pthread_create(&thread[i], NULL, busy_writes, NULL));
	usleep(3000);
	check(!sigaction(SIG, &act, NULL));
	for (i = 0; i < 4; i++)
		check(!pthread_join(thread[i], NULL));
	check(!ctl->seen);
	unshare_again(pid);
}

static void run_query(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, old;
	pid_t pid;
	int sig;

	check(!sigaction(SIG, NULL, &old) && old.sa_handler == SIG_DFL && !old.sa_flags);
	check(sigisemptyset(&old.sa_mask));
	/* Whoever has started us may ignore some. */
	for (sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33)
			check(!sigaction(sig, &dfl, &old) &&
			      (old.sa_handler == SIG_DFL ||
			       (old.sa_handler == SIG_IGN && sig != SIG)));
	for (sig = 1; sig < NSIG; sig++)
		check(signal(sig, SIG_DFL) ==
		      (sig == SIGKILL || sig == SIGSTOP || sig == 32 || sig == 33 ? SIG_ERR
										  : SIG_DFL));
	check(sigaction(65, &dfl, NULL) == -1 && errno == EINVAL);
	check(sigaction(0, NULL, &old) == -1 && errno == EINVAL);
	check(signal(SIG, SIG_ERR) == SIG_ERR && errno == EINVAL);
	pid = share();
	w_main(10);
	unshare_again(pid);
}

/* Sent by others: it kills where it would, and waits where it would. */
static void dies_of(int how)
{
	pid_t pid = fork();
	union sigval value = { .sival_int = 5 };
	int status;

	check(pid >= 0);
	if (!pid) {
		if (how == 0)
			raise(SIG);
		else if (how == 1)
			kill(getpid(), SIG);
		else if (how == 2)
			sigqueue(getpid(), SIG, value);
		pause();
		_exit(7);
	}
	if (how == 3)
		check(!usleep(20000) && !kill(pid, SIG));
	status = wait_for(pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIG);
}

static void *waiter(void *arg)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	ctl->go = 1;
	check(!sigwait(&all, &sig));
	ctl->seen = sig;
	w_wait(5);
	return arg;
}

static void run_waits(void)
{
	struct timespec none = { 0 };
	struct signalfd_siginfo sfd;
	sigset_t one, all, pending;
	pthread_t thread;
	siginfo_t info;
	pid_t pid;
	int fd, i, sig;

	for (i = 0; i < 4; i++)
		dies_of(i);
	pid = share();
	sigemptyset(&one);
	sigaddset(&one, SIG);
	check(!sigprocmask(SIG_BLOCK, &one, NULL));
	w_before(10);
	check(sigtimedwait(&one, &info, &none) == -1 && errno == EAGAIN);
	check(!kill(getpid(), SIG) && !sigpending(&pending) && sigismember(&pending, SIG));
	check(!sigwait(&one, &sig) && sig == SIG);
	check(!kill(getpid(), SIG) && sigwaitinfo(&one, &info) == SIG);
	check(info.si_code == SI_USER && info.si_pid == getpid());
	fd = signalfd(-1, &one, SFD_CLOEXEC);
	check(fd >= 0 && !raise(SIG) && read(fd, &sfd, sizeof(sfd)) == sizeof(sfd));
	check(sfd.ssi_signo == SIG);
	/* A thread that waits for everything, all others having it blocked. */
	sigfillset(&all);
	check(!pthread_sigmask(SIG_BLOCK, &all, NULL));
	check(!pthread_create(&thread, NULL, waiter, NULL));
	while (!ctl->go)
		usleep(100);
	usleep(5000);
	check(!kill(getpid(), SIG));
	check(!pthread_join(thread, NULL) && ctl->seen == SIG);
	unshare_again(pid);
}

static char small_stack[8192] __attribute__((aligned(4096)));
static char large_stack[1 << 17] __attribute__((aligned(4096)));

static void on_tiny(int sig)
{
	char here;

	check(&here > small_stack && &here < small_stack + sizeof(small_stack));
	w_tiny(5);
}

static void on_large(int sig)
{
	char here;

	check(&here > large_stack && &here < large_stack + sizeof(large_stack));
	w_large(5);
}

static void on_normal(int sig)
{
	volatile char much[200 << 10];
	stack_t now;
	size_t i;

	for (i = 0; i < sizeof(much); i += 1000)
		much[i] = 1;
	check(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE);
	w_handler(5);
	ctl->seen++;
}

static void stack_set(void *sp, size_t len, int flags)
{
	stack_t new = { .ss_sp = sp, .ss_size = len, .ss_flags = flags }, now;

	check(!sigaltstack(&new, NULL) && !sigaltstack(NULL, &now));
	check(now.ss_flags == flags && (flags || (now.ss_sp == sp && now.ss_size == len)));
}

static void on_stack(void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

	check(!sigaction(SIGUSR1, &act, NULL) && !raise(SIGUSR1));
}

static void *with_stacks(void *arg)
{
	stack_t now, bad = { .ss_sp = large_stack, .ss_size = 100 };

	check(!sigaltstack(NULL, &now) && now.ss_flags == SS_DISABLE && !now.ss_sp && !now.ss_size);
	on_stack(on_normal);
	stack_set(small_stack, sizeof(small_stack), 0);
	w_before(5);
	on_stack(on_tiny);
	stack_set(large_stack, sizeof(large_stack), 0);
	w_main(5);
	on_stack(on_large);
	stack_set(NULL, 0, SS_DISABLE);
	w_after(5);
	on_stack(on_normal);
	check(sigaltstack(&bad, NULL) == -1 && errno == ENOMEM);
	bad.ss_flags = 77;
	check(sigaltstack(&bad, NULL) == -1 && errno == EINVAL);
	check(sigaltstack((void *)8, NULL) == -1 && errno == EFAULT);
	check(sigaltstack(NULL, (void *)8) == -1 && errno == EFAULT);
	w_after(5);
	return arg;
}

static void run_altstack(void)
{
	pid_t pid = share();

	with_stacks(NULL);
	thread_run(with_stacks);
	check(ctl->seen == 4);
	unshare_again(pid);
}

static void cleaned(void *arg)
{
	__atomic_fetch_add((int *)&ctl->seen, 1, __ATOMIC_RELAXED);
}

static void *ends_by_exit(void *arg)
{
	pthread_cleanup_push(cleaned, NULL);
	if (*(int *)arg % 20 == 0)
		w_thread(1);
	pthread_exit(arg);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *is_cancelled(void *arg)
{
	pthread_cleanup_push(cleaned, NULL);
	for (;;)
		usleep(1000);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *returns(void *arg)
{
	if (*(int *)arg % 20 == 0)
		w_thread(1);
	return arg;
}

static void *stays(void *arg)
{
	while (!ctl->go)
		usleep(2000);
	return arg;
}

/* More threads than there are pieces: one after the other, and at once. */
static void run_ends(void)
{
	pthread_t thread[540];
	pthread_attr_t attr;
	void *ret;
	pid_t pid;
	int i;

	check(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
	pid = share();
	for (i = 0; i < 600; i++) {
		check(!pthread_create(thread, &attr, ends_by_exit, &i));
		check(!pthread_join(*thread, &ret) && ret == &i);
		check(!pthread_create(thread, &attr, returns, &i));
		check(!pthread_join(*thread, &ret) && ret == &i);
		check(!pthread_create(thread, &attr, is_cancelled, &i));
		check(!pthread_cancel(*thread) && !pthread_join(*thread, &ret));
		check(ret == PTHREAD_CANCELED);
	}
	check(ctl->seen >= 600);
	for (i = 0; i < 540; i++)
		check(!pthread_create(&thread[i], &attr, stays, &thread[i]));
	ctl->go = 1;
	for (i = 0; i < 540; i++)
		check(!pthread_join(thread[i], &ret) && ret == &thread[i]);
	thread_run(thread_writes);
	unshare_again(pid);
}

static void *back[5];

static NOINLINE void on_other_stack(void)
{
	void *map;

	w_astray(5);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(map != MAP_FAILED && !munmap(map, 4096));
	__builtin_longjmp(back, 1);
}

/* A coroutine that has no caller: above its frame lies what looks like one and is none. */
static NOINLINE void run_astray(void)
{
	static char other[65536] __attribute__((aligned(16)));
	pid_t pid = share();

	memset(other, 0x5a, sizeof(other));
	if (!__builtin_setjmp(back)) {
#if defined(__x86_64__)
		__asm__ volatile("mov %0, %%rsp\n\tpushq $0x1234567\n\tjmp *%1"
				 :
				 : "r"(other + sizeof(other) - 256), "r"(on_other_stack)
				 : "memory");
#else
		on_other_stack();
#endif
	}
	unshare_again(pid);
}

/* What an image was given: blocked, ignored. */
static void run_inherited(void)
{
	struct sigaction act;

	check(!syscall(SYS_rt_sigaction, SIG, NULL, &act, 8) || true);
	printf("inherited %d\n", mask_has(SIG));
}

static const char *self;

static void exec_with(bool blocked, int how)
{
	char *argv[] = { (char *)self, "inherited", NULL };
	sigset_t one;
	pid_t pid;

	sigemptyset(&one);
	sigaddset(&one, SIG);
	check(!sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &one, NULL));
	fflush(stdout);
	if (how == 1) {
		check(!posix_spawn(&pid, self, NULL, NULL, argv, environ));
	} else {
		pid = how ? vfork() : fork();
		if (!pid) {
			execv(self, argv);
			_exit(77);
		}
	}
	check(!wait_for(pid) && mask_has(SIG) == blocked);
	w_main(2);
}

static void run_exec(void)
{
	sigset_t all;
	pid_t pid;
	int i;

	pid = share();
	for (i = 0; i < 3; i++) {
		exec_with(true, i);
		exec_with(false, i);
	}
	sigfillset(&all);
	/* An exec on the heels of writes, all signals blocked, by a raw call as well. */
	for (i = 0; i < 60; i++) {
		pid_t child = fork();

		if (!child) {
			if (i % 3)
				sigprocmask(SIG_SETMASK, &all, NULL);
			else
				syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
			w_child(3);
			execl("/bin/true", "true", (char *)NULL);
			_exit(77);
		}
		check(!wait_for(child));
	}
	w_before(5);
	check(execl("/nonexistent", "x", (char *)NULL) == -1 && errno == ENOENT);
	check(execl("/proc/self/maps", "x", (char *)NULL) == -1 && errno == EACCES);
	check(execl("/dev/null", "x", (char *)NULL) == -1 && errno == EACCES);
	w_after(5);
	unshare_again(pid);
}

static void run_quiet(void)
{
	pid_t pid = share();

	w_before(10);
	check(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	w_after(10);
	check(!mask_has(SIG));
	unshare_again(pid);
}

/* Nothing of ours is there: seen past all wrappers. */
static void run_nothing(void)
{
	uint64_t act[4] = { 1 };
	stack_t now;

	check(!syscall(SYS_rt_sigaction, SIG, NULL, act, 8) && !act[0] && !act[1] && !act[3]);
	check(!syscall(SYS_sigaltstack, NULL, &now) && now.ss_flags == SS_DISABLE);
	thread_run(thread_writes);
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "threads", run_threads },   { "masks", run_masks },
		{ "taken", run_taken },	      { "query", run_query },
		{ "taking", run_taking },     { "waits", run_waits },
		{ "altstack", run_altstack }, { "ends", run_ends },
		{ "exec", run_exec },	      { "quiet", run_quiet },
		{ "astray", run_astray },     { "inherited", run_inherited },
		{ "nothing", run_nothing },   { NULL, NULL },
	};

	self = argv[0];
	area_make();
	library_print();
	return host_main(cases, argc, argv);
}
