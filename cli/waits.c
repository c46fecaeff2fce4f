/* SPDX-License-Identifier: MIT */
/*
 * Stuck, or waiting for the kernel?  A process of many gigabytes clones itself for
 * seconds on a busy machine, and for as long nobody can look at its memory.
 *
 * Not: a judgement of the process, which says itself that it clones.  A recorder that
 * was stopped while a clone waits for it (its event is unread) is not asleep in the
 * kernel, and so is none that waits.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "channel/ask.h"
#include "waits.h"

/* Uninterruptibly: as for a lock of the kernel. */
static bool is_in_kernel(pid_t pid, const char *tid)
{
	char path[64], text[256];
	const char *at;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", (int)pid, tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	at = strrchr(text, ')');
	return at && !strncmp(at, ") D", 3);
}

bool ct_waits_for_clone(const struct ct_segment *seg, pid_t recorder)
{
	struct dirent *d;
	char path[48];
	bool found = false;
	DIR *dir;

	if (!ct_slot_is_cloning(seg, atomic_load(&seg->looks_at[0])) &&
	    !ct_slot_is_cloning(seg, atomic_load(&seg->looks_at[1])))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)recorder);
	dir = opendir(path);
	while (dir && !found && (d = readdir(dir)))
		found = isdigit((unsigned char)d->d_name[0]) && is_in_kernel(recorder, d->d_name);
	if (dir)
		closedir(dir);
	return found;
}
