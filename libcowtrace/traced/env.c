/* SPDX-License-Identifier: MIT */
/*
 * The environment over an exec.  Two variables keep a program traced, and
 * programs that clean their environment would lose both.
 *
 * An LD_PRELOAD of the program's own is kept, ours before it.  A recorder's
 * address of the program's own is left alone: then somebody records within a
 * recording, and means it.
 *
 * Invariant: nothing of the program is written to.
 */
#include <string.h>
#include <sys/mman.h>

#include "channel/hello.h"
#include "traced/env.h"
#include "traced/probe.h"
#include "traced/shim.h"

#define PRELOAD "LD_PRELOAD="

struct scan {
	struct ct_probe list, text;
	u32 nr;	     /* entries, without the NULL */
	s64 preload; /* index of the variable, or -1 */
	bool recorder;
};

/* 1: begins with prefix; 0: does not; -EFAULT. */
static int begins_with(struct ct_probe *probe, const char *text, const char *prefix)
{
	for (; *prefix; prefix++, text++) {
		if (!ct_probe_ok(probe, text))
			return -EFAULT;
		if (*text != *prefix)
			return 0;
	}
	return 1;
}

static int scan_env(struct scan *scan, char *const *envp)
{
	int is;

	scan->preload = -1;
	for (; ct_probe_ok(&scan->list, &envp[scan->nr]); scan->nr++) {
		const char *var = envp[scan->nr];

		if (!var)
			return 0;
		is = begins_with(&scan->text, var, PRELOAD);
		if (is > 0)
			scan->preload = scan->nr;
		else if (!is)
			is = begins_with(&scan->text, var, CT_ENV_RECORDER "=");
		if (is < 0)
			return is;
		if (is > 0 && scan->preload != (s64)scan->nr)
			scan->recorder = true;
	}
	return -EFAULT;
}

/* The program's LD_PRELOAD with ours in front; false: ours is there, or no room. */
static bool merge_preload(struct ct_env *env, struct scan *scan, const char *theirs,
			  const char *ours)
{
	const size_t ours_len = strlen(ours);
	size_t len = 0;

	theirs += sizeof(PRELOAD) - 1;
	for (;; len++) {
		if (!ct_probe_ok(&scan->text, theirs + len))
			return false;
		if (!theirs[len])
			break;
	}
	if (strstr(theirs, ours + sizeof(PRELOAD) - 1) ||
	    ours_len + 1 + len + 1 > sizeof(env->preload))
		return false;
	memcpy(env->preload, ours, ours_len);
	env->preload[ours_len] = ':';
	memcpy(env->preload + ours_len + 1, theirs, len + 1);
	return true;
}

static char **room_for(struct ct_env *env, u32 nr)
{
	long at;

	if (nr <= CT_ENV_SMALL)
		return env->few;
	env->map_len = ct_page_up(nr * sizeof(char *));
	at = ct_sys6(SYS_mmap, 0, (long)env->map_len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at < 0 && at > -4096)
		return NULL;
	env->map = (void *)at;
	return env->map;
}

void ct_env_init(struct ct_env *env, char *const *envp)
{
	struct ct_shim *shim = ct_shim;
	struct scan scan = { .nr = 0 };
	char *preload = NULL;
	char **copy;
	u32 nr;

	env->envp = (char **)envp;
	env->map = NULL;
	if (!shim || shim->quiet || !shim->env_recorder[0])
		return;
	/* The kernel takes a NULL environment for an empty one. */
	if (envp && scan_env(&scan, envp))
		return;
	if (shim->env_preload[0]) {
		if (!envp || scan.preload < 0)
			preload = shim->env_preload;
		else if (merge_preload(env, &scan, envp[scan.preload], shim->env_preload))
			preload = env->preload;
	}
	if (!preload && scan.recorder)
		return;
	copy = room_for(env, scan.nr + 3);
	if (!copy)
		return;
	nr = scan.nr;
	if (nr)
		memcpy(copy, envp, nr * sizeof(char *));
	if (preload)
		copy[envp && scan.preload >= 0 ? (u32)scan.preload : nr++] = preload;
	if (!scan.recorder)
		copy[nr++] = shim->env_recorder;
	copy[nr] = NULL;
	env->envp = copy;
}

void ct_env_fini(struct ct_env *env)
{
	if (env->map)
		ct_sys2(SYS_munmap, env->map, env->map_len);
	env->map = NULL;
}
