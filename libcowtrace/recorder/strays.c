/* SPDX-License-Identifier: MIT */
/*
 * Programs that were started by a traced one and did not attach: static ones,
 * and those that change their user, for which the loader drops the preload.  A
 * user who wraps a server in sudo must be told why the trace is empty.
 *
 * Children of vfork and posix_spawn belong to nobody here until they say HELLO:
 * they are looked for a moment after the call.
 */
#include <stdio.h>
#include <string.h>

#include "recorder/state.h"
#include "recorder/strays.h"
#include "sys/elf.h"
#include "sys/pidfd.h"

/* By then a program that attaches has said HELLO. */
#define PATIENCE_NS (300 * CT_NSEC_PER_MSEC)

void ct_strays_explain(struct ct_rec_ctx *c, u32 process, s32 pid, const char *path)
{
	struct ct_elf_kind kind;
	char exe[256];
	u32 name, i;

	if (ct_proc_exe(pid, exe, sizeof(exe)) || ct_elf_kind(exe, &kind)) {
		if (ct_elf_kind(path, &kind))
			return;
		snprintf(exe, sizeof(exe), "%s", path);
	}
	/* Once for each program, however often it is started. */
	name = ct_names_id(c->names, exe);
	for (i = 0; i < c->nr_strays; i++)
		if (c->strays[i] == name)
			return;
	if (c->nr_strays == ct_array_size(c->strays))
		return;
	c->strays[c->nr_strays++] = name;
	if (kind.setuid || kind.setgid || kind.file_caps)
		ct_rec_note(
			c, process, "warning", "setuid_exec",
			"process %d ran %s, which changes its user and strips the preload: it and "
			"what it starts are not traced; use `cowtrace record --user NAME`",
			pid, exe);
	else if (kind.is_elf && kind.is_static)
		ct_rec_note(
			c, process, "warning", "static_exec",
			"process %d ran %s, which is statically linked: nothing can be preloaded "
			"into it, it is not traced",
			pid, exe);
	else
		ct_rec_note(c, process, "warning", "not_attached",
			    "process %d ran %s, which did not attach: it is not traced", pid, exe);
}

static bool has_attached(const struct ct_rec_ctx *c, s32 pid)
{
	const struct ct_proc *p;

	for (p = c->procs; p; p = p->next)
		if (p->pid == pid)
			return true;
	return false;
}

/* The children of the thread that called vfork or posix_spawn. */
static void look_at_children(struct ct_rec_ctx *c, const struct ct_proc *p)
{
	char path[64];
	s32 pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", p->pid, p->spawn_tid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fscanf(f, "%d", &pid) == 1)
		if (!has_attached(c, pid))
			ct_strays_explain(c, p->id, pid, "");
	fclose(f);
}

void ct_strays_check(struct ct_rec_ctx *c, u64 now)
{
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next) {
		if (!p->spawned_ns || p->gone_ns || now < p->spawned_ns + PATIENCE_NS)
			continue;
		p->spawned_ns = 0;
		look_at_children(c, p);
	}
}
