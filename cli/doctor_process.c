/* SPDX-License-Identifier: MIT */
/*
 * The doctor on what any recording needs, and on who we are: user, namespaces,
 * filters, limits.
 */
#include <linux/capability.h>
#include <string.h>

#include "channel/segment.h"
#include "doctor.h"

static void needed(struct ct_doctor *d, int err, const char *id, const char *name, const char *good,
		   enum ct_fix_by by, const char *fix)
{
	struct ct_check *c;

	if (!err) {
		ct_doctor_add(d, CT_CHECK_OK, "recording", id, name, "%s", good);
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_NO, "recording", id, name, "%s", strerror(-err));
	c->loss = "everything: nothing can be recorded";
	ct_check_fix(c, by, "%s", fix);
}

void ct_doctor_check_recording(struct ct_doctor *d)
{
	const struct ct_place *p = &d->probes.place;
	struct ct_check *c;

	needed(d, p->memory, "shared_memory", "shared memory", "memfd_create works", CT_FIX_SYSTEMD,
	       "SystemCallFilter=memfd_create");
	needed(d, p->socket, "unix_socket", "Unix sockets", "an abstract one listens",
	       CT_FIX_SYSTEMD, "RestrictAddressFamilies=AF_UNIX");
	needed(d, p->pagemap, "pagemap", "/proc/PID/pagemap", "a child's was read", CT_FIX_COMMAND,
	       "sudo mount -t proc proc /proc");
	if (*d->preload_error) {
		c = ct_doctor_add(d, CT_CHECK_NO, "recording", "preload", "preload library", "%s",
				  d->preload_error);
		c->loss = "everything: nothing can be recorded";
	} else {
		ct_doctor_add(d, CT_CHECK_OK, "recording", "preload", "preload library", "found");
	}
}

static void files(struct ct_doctor *d)
{
	const struct ct_place *p = &d->probes.place;
	const u64 wanted = CT_FILES_WANTED;
	struct ct_check *c;

	if (d->facts & CT_FACT_BIT(CT_FACT_FILES)) {
		ct_doctor_add(d, CT_CHECK_OK, "process", "open_files", "open files",
			      "%llu, can be raised to %llu; %llu are used at most",
			      (unsigned long long)p->nofile, (unsigned long long)p->nofile_max,
			      (unsigned long long)wanted);
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_LESS, "process", "open_files", "open files",
			  "%llu at most: enough for some %llu processes alive at once",
			  (unsigned long long)p->nofile_max,
			  (unsigned long long)(p->nofile_max > 64 ? (p->nofile_max - 64) / 3 : 0));
	c->loss = "processes above that number: they run untraced, and are counted";
	ct_check_fix(c, CT_FIX_COMMAND, "sudo prlimit --pid $$ --nofile=%llu:%llu",
		     (unsigned long long)wanted, (unsigned long long)wanted);
	ct_check_fix(c, CT_FIX_CONTAINER, "docker run --ulimit nofile=%llu ...",
		     (unsigned long long)wanted);
	ct_check_fix(c, CT_FIX_SYSTEMD, "LimitNOFILE=%llu", (unsigned long long)wanted);
}

static void cap_kill(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->facts & CT_FACT_BIT(CT_FACT_KILL)) {
		ct_doctor_add(d, CT_CHECK_OK, "process", "cap_kill", "CAP_KILL", "%s",
			      ct_place_has_cap(&d->probes.place, CAP_KILL)
				      ? "programs of other users can be asked for stacks"
				      : "not needed: this user starts programs of his own only");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_LESS, "process", "cap_kill", "CAP_KILL",
			  "missing: programs of other users (--user) cannot be asked for stacks");
	c->loss = "callers of the writes of such programs, with the uffd engine";
	ct_check_fix_cap(d, c, "KILL");
}

static void ptrace_scope(struct ct_doctor *d)
{
	int v = d->probes.place.ptrace_scope;
	struct ct_check *c;

	if (v < 0) {
		ct_doctor_add(d, CT_CHECK_INFO, "process", "ptrace_scope", "ptrace scope",
			      "kernel.yama.ptrace_scope is not there: nothing is restricted");
	} else if (v < 3) {
		ct_doctor_add(d, CT_CHECK_INFO, "process", "ptrace_scope", "ptrace scope",
			      "kernel.yama.ptrace_scope is %d; page maps are not restricted by it",
			      v);
	} else {
		c = ct_doctor_add(d, CT_CHECK_LESS, "process", "ptrace_scope", "ptrace scope",
				  "kernel.yama.ptrace_scope is %d: nobody may read a program's "
				  "stack, until a reboot",
				  v);
		c->loss = "the callers of system calls that write";
	}
}

static void priority(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->probes.place.rtprio) {
		ct_doctor_add(d, CT_CHECK_OK, "process", "realtime", "real-time priority",
			      "the recorder may have the lowest: new children wait for work alone");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_INFO, "process", "realtime", "real-time priority",
			  "not permitted: on a busy machine new children wait longer to be read");
	ct_check_fix(c, CT_FIX_CONTAINER, "docker run --ulimit rtprio=1 ...");
	ct_check_fix(c, CT_FIX_SYSTEMD, "LimitRTPRIO=1");
}

static const char *where(int first)
{
	return first == 1 ? "the first one" : first == 0 ? "one of its own" : "cannot be told";
}

static void surroundings(struct ct_doctor *d)
{
	static const char *const filters[] = { "none", "strict mode", "a filter is at work" };
	const struct ct_place *p = &d->probes.place;

	ct_doctor_add(d, CT_CHECK_INFO, "process", "user_namespace", "user namespace", "%s%s",
		      where(p->userns),
		      p->userns ? "" : ": capabilities that are held here show nothing of pages");
	ct_doctor_add(d, CT_CHECK_INFO, "process", "pid_namespace", "pid namespace", "%s%s",
		      where(p->pidns),
		      p->pidns ? "; programs in further ones, started from here, are not traced"
			       : ": record in here what runs in here");
	ct_doctor_add(d, CT_CHECK_INFO, "process", "seccomp", "seccomp", "%s",
		      p->seccomp < 0 ? "cannot be told" : filters[ct_min(p->seccomp, 2)]);
}

void ct_doctor_check_process(struct ct_doctor *d)
{
	cap_kill(d);
	ptrace_scope(d);
	files(d);
	priority(d);
	surroundings(d);
}
