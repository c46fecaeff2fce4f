/* SPDX-License-Identifier: MIT */
/*
 * Writes shared pages while another thread keeps sending it signals: each may take it
 * out of a fault that nobody has served yet, and back into it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 4096

static _Atomic int over;
static volatile sig_atomic_t taken;

static void take(int sig)
{
	(void)sig;
	taken = 1;
}

static void *send(void *arg)
{
	while (!over) {
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
		usleep(50);
	}
	return NULL;
}

__attribute__((noinline)) static void storm_write(volatile char *p)
{
	for (long i = 0; i < PAGES; i++)
		p[i * PAGE]++;
}

int main(void)
{
	char *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	struct sigaction sa = { .sa_handler = take, .sa_flags = SA_RESTART };
	pthread_t me = pthread_self(), sender;
	pid_t pid;

	if (p == MAP_FAILED || madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE))
		return 1;
	storm_write(p);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (pid < 0 || sigaction(SIGUSR1, &sa, NULL) || pthread_create(&sender, NULL, send, &me))
		return 1;
	storm_write(p);
	over = 1;
	pthread_join(sender, NULL);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("%d\n", PAGES);
	return !taken;
}
