/* SPDX-License-Identifier: MIT */
/*
 * libc: the atfork handler of the parent runs after a fork that failed, too; a
 * failure sets errno before it, a success leaves errno alone; and what the
 * handler leaves in errno is what a successful fork() leaves.
 */
#include <pthread.h>
#include <sys/resource.h>

#include "say.h"

static int runs, seen;

static void prepare(void)
{
	errno = 0;
}

static void parent(void)
{
	runs++;
	seen = errno;
	if (!seen)
		errno = 77;
}

int main(void)
{
	struct rlimit none = { 0, 0 };
	pid_t pid;

	say("register", !pthread_atfork(prepare, parent, NULL));
	pid = fork();
	if (!pid)
		_exit(0);
	say("a fork that works", pid > 0 && runs == 1 && seen == 0 && errno == 77);
	waitpid(pid, NULL, 0);
	if (geteuid()) {
		printf("SKIP: the limit of processes is tried as another user: not root\n");
		return 77;
	}
	say("another user", !setresuid(65534, 65534, 65534) && !setrlimit(RLIMIT_NPROC, &none));
	say("a fork that fails", fork() == -1 && runs == 2 && seen == EAGAIN && errno == EAGAIN);
	say("_Fork() runs no handlers", _Fork() == -1 && errno == EAGAIN && runs == 2);
	return 0;
}
