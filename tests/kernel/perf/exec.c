/* SPDX-License-Identifier: MIT */
/*
 * An exec takes the event away, also where its descriptor is held elsewhere: the new
 * image, which has no handler, takes its faults unharmed.  So it does where SIGTRAP
 * was ignored, and where a hundred threads' events went with it.
 */
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

static void *sleep_long(void *arg)
{
	pause();
	return arg;
}

int main(int argc, char **argv)
{
	int status, threads;
	pid_t pid;

	if (argc > 1) {
		char *page = lab_map(256);

		lab_fill(page, 256, 1);
		return 0;
	}
	trap_init(NULL, 0);
	close(trap_open((struct trap_opts){ .disabled = true }));
	for (threads = 0; threads <= 100; threads += 50) {
		int sync[2];

		if (pipe(sync))
			lab_die("pipe");
		pid = fork();
		if (pid == 0) {
			int fd = trap_open((struct trap_opts){ 0 });

			/* Held beyond the exec by somebody else. */
			if (!fork()) {
				char c;

				close(sync[1]);
				_exit((int)read(sync[0], &c, 1));
			}
			close(fd);
			for (int i = 0; i < threads; i++) {
				pthread_t t;

				if (pthread_create(&t, NULL, sleep_long, NULL))
					lab_die("pthread_create");
			}
			execl("/proc/self/exe", argv[0], "again", (char *)NULL);
			_exit(3);
		}
		waitpid(pid, &status, 0);
		close(sync[1]);
		close(sync[0]);
		check(!status, "%d threads: status %#x", threads, status);
	}
	return lab_result();
}
