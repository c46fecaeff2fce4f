/* SPDX-License-Identifier: MIT */
/*
 * Programs that fork from where nobody expects it.
 */
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "host.h"

extern char **environ;

static volatile sig_atomic_t alarms;
static pid_t host;

static void timer_start(int us, void (*handler)(int))
{
	struct itimerval timer = { { 0, us }, { 0, us } };
	struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void timer_stop(void)
{
	struct itimerval off = { { 0, 0 }, { 0, 0 } };

	setitimer(ITIMER_REAL, &off, NULL);
}

static void count_alarm(int sig)
{
	alarms++;
}

static void run_storm(void)
{
	int i;

	timer_start(500, count_alarm);
	for (i = 0; i < 150; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			touch_memory(2);
			_exit(3);
		}
		touch_memory(1);
		check(WEXITSTATUS(wait_for(pid)) == 3);
	}
	timer_stop();
	check(alarms > 50);
}

static void *fork_some(void *arg)
{
	int i;

	for (i = 0; i < 25; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (!pid) {
			touch_memory(1);
			_exit(4);
		}
		touch_memory(1);
		check(WEXITSTATUS(wait_for(pid)) == 4);
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t thread[4];
	int i;

	for (i = 0; i < 4; i++)
		check(!pthread_create(&thread[i], NULL, fork_some, NULL));
	for (i = 0; i < 4; i++)
		check(!pthread_join(thread[i], NULL));
}

static volatile sig_atomic_t handler_forks;

/* Raw: no lock of libc's is taken in a handler.  The child comes back, too. */
static void fork_in_handler(int sig)
{
	pid_t pid;

	if (getpid() != host)
		return;
	pid = handler_forks & 1 ? _Fork() : fork();
	if (pid > 0)
		handler_forks++;
	if (pid < 0)
		_exit(97);
}

/*
 * The handler's children return into whatever was interrupted, a fork among it,
 * and end when they are back in this loop; so do the children of their forks.
 */
static void run_sigfork(void)
{
	/*
	 * A fork that takes longer than the timer's period never comes to its end (the
	 * kernel begins it anew): HOST_SLOW says how many times longer forks may take.
	 */
	const char *slow = getenv("HOST_SLOW");
	int i, forks = 0, reaped = 0;

	host = getpid();
	timer_start(900 * (slow ? atoi(slow) : 1), fork_in_handler);
	for (i = 0; i < 250 && getpid() == host; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(96);
		if (!pid)
			_exit(0);
		if (getpid() != host) {
			/* A fork of the host's, gone on with in a handler's child. */
			while (wait(NULL) > 0)
				;
			_exit(0);
		}
		forks++;
	}
	timer_stop();
	if (getpid() != host)
		_exit(0);
	for (;;) {
		int status;
		pid_t pid = wait(&status);

		if (pid < 0)
			break;
		if (status)
			fprintf(stderr, "child %d: status %#x\n", pid, status);
		check(!status);
		reaped++;
	}
	check(reaped == forks + handler_forks);
	check(handler_forks > 10);
}

static void run_burst(void)
{
	int gate[2], i;
	pid_t pid[200];
	char c;

	check(!pipe(gate));
	for (i = 0; i < 200; i++) {
		pid[i] = fork();
		check(pid[i] >= 0);
		if (!pid[i]) {
			close(gate[1]);
			check(read(gate[0], &c, 1) == 0);
			_exit(i);
		}
	}
	close(gate[1]);
	for (i = 0; i < 200; i++)
		check(WEXITSTATUS(wait_for(pid[i])) == i);
}

static void run_vfork(void)
{
	char *const argv[] = { (char *)"true", NULL };
	char *const none[] = { NULL };
	volatile int shared = 0;
	pid_t pid;
	int i;

	for (i = 0; i < 20; i++) {
		pid = vfork();
		check(pid >= 0);
		if (!pid) {
			shared++;
			_exit(5);
		}
		check(WEXITSTATUS(wait_for(pid)) == 5 && shared == i + 1);
		pid = vfork();
		if (!pid) {
			execve("/bin/true", argv, none);
			_exit(6);
		}
		check(wait_for(pid) == 0);
	}
	for (i = 0; i < 5; i++) {
		check(!posix_spawn(&pid, "/bin/true", NULL, NULL, argv, none));
		check(wait_for(pid) == 0);
		check(!posix_spawnp(&pid, "true", NULL, NULL, argv, environ));
		check(wait_for(pid) == 0);
		check(posix_spawn(&pid, "/nonexistent", NULL, NULL, argv, environ) == ENOENT);
	}
	check(system("exit 7") == 7 << 8);
}

static int clone_child(void *arg)
{
	touch_memory(1);
	return *(int *)arg;
}

static void run_clone(void)
{
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int code = 9, i;
	pid_t tid = 0;

	for (i = 0; i < 10; i++) {
		pid_t pid = clone(clone_child, stack + 65536, SIGCHLD, &code);

		check(pid > 0 && WEXITSTATUS(wait_for(pid)) == 9);
		pid = clone(clone_child, stack + 65536, CLONE_PARENT_SETTID | SIGCHLD, &code, &tid);
		check(pid > 0 && tid == pid && WEXITSTATUS(wait_for(pid)) == 9);
		pid = clone(clone_child, stack + 65536, CLONE_VM | CLONE_VFORK | SIGCHLD, &code);
		check(pid > 0 && WEXITSTATUS(wait_for(pid)) == 9);
		pid = _Fork();
		check(pid >= 0);
		if (!pid)
			_exit(8);
		check(WEXITSTATUS(wait_for(pid)) == 8);
	}
	errno = 0;
	check(clone(clone_child, NULL, SIGCHLD, &code) == -1 && errno == EINVAL);
	check(clone(clone_child, stack + 65536, CLONE_SIGHAND | SIGCHLD, &code) == -1 &&
	      errno == EINVAL);
}

static void run_pidns(void)
{
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int code = 11;
	pid_t pid = clone(clone_child, stack + 65536, CLONE_NEWPID | SIGCHLD, &code);

	check(pid > 0 && WEXITSTATUS(wait_for(pid)) == 11);
}

/* libc forks past every wrapper; the middle process ends without a word. */
static void run_daemon(void)
{
	pid_t pid = fork();

	if (!pid) {
		errno = 77;
		check(!daemon(1, 1));
		check(errno == 77 || errno == ENOTTY); /* as untraced: a success changes nothing */
		pid = fork();
		if (!pid)
			_exit(0);
		wait_for(pid);
		_exit(0);
	}
	check(wait_for(pid) == 0);
	usleep(60000);
}

/* Every way to fork fails, with the kernel's errno. */
static void run_nproc(void)
{
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rlimit limit = { 0, 0 };
	int code = 0, i;

	check(!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534));
	check(!setrlimit(RLIMIT_NPROC, &limit));
	for (i = 0; i < 50; i++) {
		errno = 0;
		check(fork() == -1 && errno == EAGAIN);
		errno = 0;
		check(_Fork() == -1 && errno == EAGAIN);
		errno = 0;
		check(clone(clone_child, stack + 65536, SIGCHLD, &code) == -1 && errno == EAGAIN);
		errno = 0;
		check(daemon(1, 1) == -1 && errno == EAGAIN);
		errno = 0;
		check(vfork() == -1 && errno == EAGAIN);
	}
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "storm", run_storm }, { "threads", run_threads }, { "sigfork", run_sigfork },
		{ "burst", run_burst }, { "vfork", run_vfork },	    { "clone", run_clone },
		{ "pidns", run_pidns }, { "daemon", run_daemon },   { "nproc", run_nproc },
		{ NULL, NULL },
	};

	return host_main(cases, argc, argv);
}
