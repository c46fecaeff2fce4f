/* SPDX-License-Identifier: MIT */
/*
 * Before and after an exec.  A shell that looks for a command tries many paths:
 * those that are not there are not asked about.
 *
 * Invariant: after ct_exec_failed() the slot is as before, and the recorder has
 * been told.
 */
#include <errno.h>
#include <fcntl.h>

#include "channel/ask.h"
#include "traced/exechook.h"
#include "traced/probe.h"
#include "traced/stack.h"

/* The program's path into the slot, as far as it can be read. */
static void note_path(struct ct_slot *slot, const char *path)
{
	struct ct_probe probe = { 0 };
	size_t i;

	for (i = 0; path && i < sizeof(slot->exec_path) - 1; i++) {
		if (!ct_probe_ok(&probe, path + i) || !path[i])
			break;
		slot->exec_path[i] = path[i];
	}
	slot->exec_path[i] = '\0';
}

/* Certain to fail: nothing to read. */
static bool hopeless(const char *path)
{
	long ret = ct_sys4(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);

	return ret == -ENOENT || ret == -ENOTDIR || ret == -EACCES || ret == -EFAULT;
}

void ct_exec_begin(struct ct_exec *exec, const char *path, bool certain, char *const *envp)
{
	struct ct_slot *slot;

	exec->asked = false;
	ct_env_init(&exec->env, envp);
	if (!ct_self_get(&exec->self) || (certain && hopeless(path)))
		return;
	slot = &exec->self.seg->slots[exec->self.slot];
	ct_ask_join(exec->self.seg, exec->self.slot); /* an exit or exec of another thread */
	note_path(slot, path);
	slot->tid = exec->self.tid;
	slot->sp = (u64)__builtin_frame_address(0);
	slot->tp = ct_thread_pointer();
	exec->asked = true;
	ct_ask(exec->self.seg, exec->self.slot, CT_ASK_EXEC);
}

void ct_exec_failed(struct ct_exec *exec)
{
	struct ct_event ev = { .type = CT_EV_EXEC_FAIL, .arg = (u64)errno };

	ct_env_fini(&exec->env);
	if (!exec->asked)
		return;
	exec->self.seg->slots[exec->self.slot].exec_path[0] = '\0';
	ct_event_now(&exec->self, &ev, CT_SITE_NONE);
}
