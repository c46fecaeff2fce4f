/* SPDX-License-Identifier: MIT */
/*
 * play as the only process of a virtual machine: mounts what it needs, loads the
 * modules that came along, plays every file of /s in the order of /s/list, and
 * powers off.  The serial line is its output: each line of it that begins with
 * "@@" is the player's.
 *
 * Invariant: the machine goes off whatever happens.
 */
#include "play.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static bool load(const char *name)
{
	char path[300];
	int fd, rc;

	snprintf(path, sizeof(path), "/modules/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	rc = syscall(SYS_finit_module, fd, "", 0);
	close(fd);
	return !rc;
}

/* Dependencies by trying: each round loads what it can. */
static void load_modules(void)
{
	for (bool progress = true; progress;) {
		DIR *dir = opendir("/modules");
		struct dirent *e;

		progress = false;
		while (dir && (e = readdir(dir)))
			progress = load(e->d_name) || progress;
		if (dir)
			closedir(dir);
	}
}

/* Other programs that came along print their own line. */
static void run_others(void)
{
	DIR *dir = opendir("/x");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[300];
		pid_t pid;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/x/%s", e->d_name);
		fflush(stdout);
		signal(SIGCHLD, SIG_DFL);
		pid = fork();
		if (!pid) {
			execl(path, e->d_name, NULL);
			_exit(127);
		}
		waitpid(pid, NULL, 0);
		signal(SIGCHLD, SIG_IGN);
	}
	if (dir)
		closedir(dir);
}

static void play_list(void)
{
	char line[256], path[300];
	FILE *f = fopen("/s/list", "re");

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/s/%s", line);
		printf("@@");
		if (!play_file(path))
			printf("{\"scenario\":\"%s\",\"skipped\":\"unreadable\"}\n", line);
	}
	if (f)
		fclose(f);
}

void init_main(void)
{
	struct utsname un;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("debug", "/sys/kernel/debug", "debugfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	load_modules();
	uname(&un);
	printf("@@{\"kernel\":\"%s\"}\n", un.release);
	run_others();
	occupy_khugepaged();
	play_list();
	printf("@@{\"end\":true}\n");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
