/* SPDX-License-Identifier: MIT */
/*
 * With inherit and inherit_thread the threads that a thread makes have its event, and
 * obey its descriptor; children of fork, vfork and posix_spawn have none.
 */
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

#define THREADS 8

extern char **environ;

static char *page;

struct worker {
	pthread_t thread;
	int nr;
	uint32_t on, off;
};

/* Threads run in turn: the log has one place. */
static pthread_barrier_t begin, end;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void one_store(int at, uint32_t *ret)
{
	pthread_mutex_lock(&turn);
	*ret = trap_store(page + (size_t)at * PAGE);
	pthread_mutex_unlock(&turn);
}

static void *work(void *arg)
{
	static __thread char stack_of_its_own[256 << 10];
	const stack_t stack = { .ss_sp = stack_of_its_own, .ss_size = sizeof(stack_of_its_own) };
	struct worker *w = arg;

	memset(stack_of_its_own, 1, sizeof(stack_of_its_own));
	sigaltstack(&stack, NULL);
	pthread_barrier_wait(&begin);
	one_store(16 + w->nr, &w->on);
	pthread_barrier_wait(&end);
	pthread_barrier_wait(&begin);
	one_store(32 + w->nr, &w->off);
	pthread_barrier_wait(&end);
	return NULL;
}

static void threads(int fd)
{
	struct worker w[THREADS] = { 0 };

	pthread_barrier_init(&begin, NULL, THREADS + 1);
	pthread_barrier_init(&end, NULL, THREADS + 1);
	trap_disable(fd);
	for (int i = 0; i < THREADS; i++) {
		w[i].nr = i;
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			lab_die("pthread_create");
	}
	trap_enable(fd);
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&end);
	trap_disable(fd);
	pthread_barrier_wait(&begin);
	pthread_barrier_wait(&end);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		check(w[i].on == 1, "thread %d: %u signals while enabled", i, w[i].on);
		check(w[i].off == 0, "thread %d: %u signals while disabled", i, w[i].off);
	}
	trap_enable(fd);
}

int main(void)
{
	char *argv[] = { (char *)"true", NULL };
	volatile pid_t pid;
	int fd, status;

	page = lab_map(64);
	trap_init(page, 64);
	fd = trap_open((struct trap_opts){ 0 });
	threads(fd);

	traps->addr = 0;
	pid = fork();
	if (pid == 0) {
		page[0] = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* The log is ours as well: by address. */
	check(!status && traps->addr != (uint64_t)page, "a forked child: %#x", status);

	traps->addr = 0;
	pid = vfork();
	if (pid == 0) {
		page[PAGE] = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(!status && traps->addr != (uint64_t)(page + PAGE), "a vfork child: %#x", status);

	/* It blocks all signals and resets all handlers while it shares our memory. */
	for (int i = 0; i < 50; i++) {
		pid_t child;

		if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ))
			lab_skip("posix_spawn of /bin/true");
		waitpid(child, &status, 0);
		check(!status, "a spawned child: %#x", status);
	}
	return lab_result();
}
