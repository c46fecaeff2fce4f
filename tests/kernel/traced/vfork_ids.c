/* SPDX-License-Identifier: MIT */
/*
 * The child of vfork() shares memory and thread variables with its parent, and
 * is told apart by getpid() alone.  A thread's id is a pid only in the leader.
 */
#include <pthread.h>

#include "say.h"

static __thread volatile int mine;
static volatile pid_t child_pid, child_tid;
static volatile int tid_differs;

static void *thread(void *arg)
{
	tid_differs = syscall(SYS_gettid) != syscall(SYS_getpid);
	return NULL;
}

int main(void)
{
	pthread_t other;
	int status;
	pid_t pid;

	pid = vfork();
	if (!pid) {
		mine = 5;
		child_pid = (pid_t)syscall(SYS_getpid);
		child_tid = (pid_t)syscall(SYS_gettid);
		_exit(0);
	}
	say("the child", pid > 0 && waitpid(pid, &status, 0) == pid && !status);
	say("its thread variables are ours", mine == 5);
	say("its ids are its own", child_pid == pid && child_tid == pid && pid != getpid());
	say("we lead: tid is pid", syscall(SYS_gettid) == syscall(SYS_getpid));
	say("thread", !pthread_create(&other, NULL, thread, NULL) && !pthread_join(other, NULL));
	say("another thread's tid is not", tid_differs);
	return 0;
}
