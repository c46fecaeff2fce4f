/* SPDX-License-Identifier: MIT */
/*
 * The keeper: a process that does nothing but wait for the player's end, however
 * it comes, SIGKILL included, and then puts back what the player had not.  It is
 * in a session of its own, so that what ends the player's group leaves it alone.
 *
 * Invariant: the lock on the machine's settings is held by the player and the
 * keeper alone, so it is free only when they are what they were.
 */
#include "play.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_FILE "/tmp/cowtrace-sysfs.lock"

static int lock_fd = -1;

static void keep(int player)
{
	struct pollfd pfd = { .fd = player, .events = POLLIN };

	setsid();
	prctl(PR_SET_NAME, "play-keeper");
	while (poll(&pfd, 1, -1) != 1)
		;
	swap_off();
	settings_restore();
	_exit(0);
}

/* Waits for the lock.  Before the first setting is changed, and before any fork. */
bool keeper_start(void)
{
	int player = syscall(SYS_pidfd_open, getpid(), 0);
	pid_t pid;

	lock_fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (player < 0 || lock_fd < 0 || flock(lock_fd, LOCK_EX))
		return false;
	pid = fork();
	if (!pid)
		keep(player);
	close(player);
	return pid > 0;
}

/* A played process may live a moment longer than the player: it holds no lock. */
void keeper_unlock(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	lock_fd = -1;
}
