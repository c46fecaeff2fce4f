/* SPDX-License-Identifier: MIT */
/*
 * cowtrace doctor: can the uffd engine run here, and if not, why, and what is to
 * be done?  Everything is tried, nothing concluded from a version.
 *
 * Invariant: one line for each thing that was tried; the first line is the answer,
 * and the exit status says the same.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>

#include "commands.h"
#include "exit.h"
#include "sys/kcaps.h"
#include "sys/kgen.h"
#include "sys/uffd_probe.h"
#include "term.h"
#include "traced/sighandler.h"

enum result {
	WORKS,
	LESS, /* the engine runs, and tells less */
	FAILS,
};

#define NAME_COLUMNS 20
#define MAX_CHECKS 20

struct check {
	enum result result;
	const char *name;
	char text[300];
};

struct findings {
	struct check checks[MAX_CHECKS];
	size_t nr;
	enum result worst;
};

struct doctor_options {
	bool quiet;
};

static const struct ct_opt doctor_opts[] = {
	{ "quiet", 'q', CT_OPT_FLAG, NULL, "print nothing: the exit status is the answer",
	  offsetof(struct doctor_options, quiet), NULL },
	{ 0 },
};

const struct ct_command ct_command_doctor = {
	.name = "doctor",
	.summary = "say whether `record --engine uffd` can run here, and why not",
	.operands = "",
	.details = "The exit status is 0 when it can, 4 when it can and will tell less, 3 when it\n"
		   "cannot.  The census engine runs everywhere.",
	.opts = doctor_opts,
	.run = ct_cmd_doctor,
};

static ct_printf(4, 5) void found(struct findings *f, enum result result, const char *name,
				  const char *fmt, ...)
{
	struct check *c = &f->checks[f->nr];
	va_list ap;

	if (f->nr == MAX_CHECKS)
		return;
	f->nr++;
	c->result = result;
	c->name = name;
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	f->worst = ct_max(f->worst, result);
}

static void device(struct findings *f, const struct ct_uffd_probe *p)
{
	const char *name = "/dev/userfaultfd";

	switch (p->dev) {
	case 0:
		break;
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		found(f, FAILS, name,
		      "there is none: Linux 6.1 and later have it, where userfaultfd is "
		      "configured; into a container it must be passed (--device %s)",
		      name);
		return;
	case -EACCES:
	case -EPERM:
		found(f, FAILS, name,
		      "cannot be opened by user %d: run cowtrace as root, or give this user the "
		      "device (setfacl -m u:%d:rw %s)",
		      (int)geteuid(), (int)geteuid(), name);
		return;
	default:
		found(f, FAILS, name, "cannot be opened: %s", strerror(-p->dev));
		return;
	}
	if (!p->create)
		found(f, WORKS, name, "opened, and gave a userfaultfd");
	else if (p->create == -EPERM || p->create == -EACCES)
		found(f, FAILS, name,
		      "opened, but gives no userfaultfd: a security policy (seccomp, SELinux) "
		      "forbids it; allow ioctl on the device");
	else
		found(f, FAILS, name, "opened, but gives no userfaultfd: %s", strerror(-p->create));
}

static void features(struct findings *f, const struct ct_uffd_probe *p)
{
	static const struct {
		u64 bit;
		const char *name, *what, *since;
	} wanted[] = {
		{ UFFD_FEATURE_PAGEFAULT_FLAG_WP, "write protection", "first writes can be caught",
		  "5.7" },
		{ UFFD_FEATURE_EVENT_FORK, "fork events", "children can be followed", "4.11" },
		{ UFFD_FEATURE_EVENT_REMAP, "remap events", "moved memory can be followed",
		  "4.11" },
		{ UFFD_FEATURE_THREAD_ID, "thread ids", "who wrote is told", "4.14" },
		{ UFFD_FEATURE_EXACT_ADDRESS, "exact addresses", "where it wrote is told", "5.18" },
	};

	/* Nobody could ask: the line above says why. */
	for (size_t i = 0; p->features && i < ct_array_size(wanted); i++) {
		if (p->features & wanted[i].bit)
			found(f, WORKS, wanted[i].name, "%s", wanted[i].what);
		else
			found(f, FAILS, wanted[i].name,
			      "this kernel's userfaultfd has none (Linux %s has): update the "
			      "kernel",
			      wanted[i].since);
	}
}

static void privilege(struct findings *f, const struct ct_uffd_probe *p)
{
	const char *name = "CAP_SYS_PTRACE";

	if (p->api == -EPERM && p->cap_ptrace == 1)
		found(f, FAILS, name,
		      "it is held in a user namespace only, and fork events need it in the first "
		      "one: run cowtrace outside of the container's user namespace");
	else if (p->api == -EPERM)
		found(f, FAILS, name,
		      "missing, and fork events need it: run cowtrace as root; in a container, "
		      "add it (--cap-add SYS_PTRACE)");
	else if (!p->api)
		found(f, WORKS, name, "fork events were granted");
	else if (p->cap_ptrace == 1)
		found(f, WORKS, name, "held");
	else
		found(f, FAILS, name,
		      "missing, and fork events need it: run cowtrace as root; in a container, "
		      "add it (--cap-add SYS_PTRACE)");
	if (!p->api && p->protect)
		found(f, FAILS, "protecting a page", "%s", strerror(ct_max(-p->protect, 0)));
	else if (!p->api)
		found(f, WORKS, "protecting a page", "one of our own was, and freed again");
}

static void sysctl(struct findings *f, const struct ct_uffd_probe *p)
{
	const char *name = "sysctl";

	if (p->sysctl < 0)
		found(f, WORKS, name, "vm.unprivileged_userfaultfd is not there; not needed");
	else
		found(f, WORKS, name,
		      "vm.unprivileged_userfaultfd is %d; it does not matter, the device is used",
		      p->sysctl);
}

static void page_state(struct findings *f, const struct ct_kcaps *caps)
{
	if (caps->pagemap_scan)
		found(f, WORKS, "PAGEMAP_SCAN", "what is not protected yet can be found");
	else
		found(f, FAILS, "PAGEMAP_SCAN",
		      "this kernel has none (Linux 6.7 has): update the kernel");
	if (caps->pfns)
		found(f, WORKS, "page frames",
		      "what the kernel did can be observed, copies are "
		      "exact");
	else
		found(f, LESS, "page frames",
		      "are hidden: copies are told in bounds, and no verdict can be checked; "
		      "CAP_SYS_ADMIN outside of user namespaces shows them");
	if (caps->kpage)
		found(f, WORKS, "/proc/kpageflags", "verdicts know the state of a page%s",
		      caps->anon_exclusive ? ", its exclusive mark too" : "");
	else
		found(f, LESS, "/proc/kpageflags",
		      "cannot be read: most verdicts will be uncertain; root may read it, with "
		      "/proc mounted writable");
}

static void stacks(struct findings *f, const struct ct_uffd_probe *p)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	if (p->call_file)
		found(f, LESS, "/proc/.../syscall",
		      "cannot be read (%s): there will be no call sites; the kernel lacks "
		      "CONFIG_HAVE_ARCH_TRACEHOOK, or /proc is restricted (hidepid)",
		      strerror(-p->call_file));
	else
		found(f, WORKS, "/proc/.../syscall", "where a thread stands can be read");
	sigaction(CT_STACK_SIGNAL, NULL, &sa);
	if (p->signal == -ENOBUFS || p->signal == -EAGAIN)
		found(f, LESS, "signal",
		      "no real-time signal can be queued: stacks will be missing; raise the limit "
		      "on pending signals (ulimit -i)");
	else if (p->signal)
		found(f, LESS, "signal", "%d cannot be sent to a thread (%s): no stacks",
		      CT_STACK_SIGNAL, strerror(-p->signal));
	else if (sa.sa_handler == SIG_IGN)
		found(f, LESS, "signal",
		      "%d is ignored here, and the command would inherit that: no stacks; start "
		      "from a shell that does not ignore it",
		      CT_STACK_SIGNAL);
	else
		found(f, WORKS, "signal", "%d asks a thread for its stack", CT_STACK_SIGNAL);
}

static void model(struct findings *f)
{
	struct ct_kgen gen;
	int rc = ct_kgen_probe(&gen);

	if (rc)
		found(f, FAILS, "policy model", "cannot be found out: %s", strerror(-rc));
	else if (gen.certain)
		found(f, WORKS, "policy model", "%s, by experiment", gen.model);
	else
		found(f, LESS, "policy model",
		      "probably %s: an experiment could not be made, verdicts may be wrong "
		      "(`cowtrace policy probe` shows which)",
		      gen.model);
}

static void print(const struct findings *f)
{
	static const char *const answers[] = {
		[WORKS] = "The uffd engine can run here: `cowtrace record --engine uffd`.",
		[LESS] = "The uffd engine can run here and will tell less: see `less` below.",
		[FAILS] =
			"The uffd engine cannot run here: see `NO` below.  `--engine census` can.",
	};
	static const char *const words[] = { "ok", "less", "NO" };
	static const enum ct_style styles[] = { CT_PLAIN, CT_WARN, CT_BAD };
	struct ct_term term;
	struct utsname u = { "" };

	ct_term_init(&term, stdout);
	ct_printf_styled(&term, CT_BOLD, "%s\n", answers[f->worst]);
	uname(&u);
	ct_printf_styled(&term, CT_DIM, "Linux %s, %s, as user %d\n\n", u.release, u.machine,
			 (int)geteuid());
	for (size_t i = 0; i < f->nr; i++) {
		const struct check *c = &f->checks[i];

		printf("  ");
		ct_printf_styled(&term, styles[c->result], "%-4s", words[c->result]);
		printf("  %-*s %s\n", NAME_COLUMNS, c->name, c->text);
	}
}

int ct_cmd_doctor(int argc, char **argv)
{
	static const int statuses[] = { CT_EXIT_OK, CT_EXIT_ENGINE_LESS, CT_EXIT_ENGINE_CANNOT };
	struct doctor_options o = { .quiet = false };
	int status, first = ct_opt_parse(&ct_command_doctor, argc, argv, &o, &status);
	struct findings f = { .nr = 0 };
	struct ct_uffd_probe probe;
	struct ct_kcaps caps;

	if (first < 0)
		return status;
	if (first < argc)
		return ct_usage_error(&ct_command_doctor, "there is nothing to give it: '%s'",
				      argv[first]);
	ct_uffd_probe(CT_STACK_SIGNAL, &probe);
	ct_kcaps_probe(&caps);
	device(&f, &probe);
	features(&f, &probe);
	privilege(&f, &probe);
	sysctl(&f, &probe);
	page_state(&f, &caps);
	stacks(&f, &probe);
	model(&f);
	if (!o.quiet)
		print(&f);
	return statuses[f.worst];
}
