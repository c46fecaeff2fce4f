/* SPDX-License-Identifier: MIT */
/*
 * The recorder's beginning and end.
 *
 * Invariant: READY is sent only when the trace exists and HELLOs are answered;
 * after DONE the trace is closed and, unless it says otherwise, complete.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/futex.h"
#include "recorder/calibrate.h"
#include "recorder/faults.h"
#include "recorder/io.h"
#include "recorder/recorder.h"
#include "recorder/rotation.h"
#include "recorder/serve.h"
#include "recorder/writes.h"
#include "sys/kgen.h"
#include "sys/perfev.h"
#include "sys/uffd.h"
#include "sys/vmstat.h"

int ct_segment_init(struct ct_segment *seg, u64 size, u64 hold_ns)
{
	if (size < sizeof(*seg))
		return -EINVAL;
	seg->size = size;
	seg->start_ns = ct_now_ns();
	seg->hold_ns = hold_ns;
	atomic_store(&seg->heartbeat_ns, seg->start_ns);
	/* Phase 0 has no name. */
	atomic_store(&seg->nr_phases, 1);
	seg->version = CT_SEG_VERSION;
	seg->magic = CT_SEG_MAGIC;
	atomic_store(&seg->state, CT_SEG_ON);
	return 0;
}

static void send_msg(int fd, const struct ct_ctl_msg *m)
{
	/* A supervisor that has gone cannot be told, and need not be. */
	(void)!send(fd, m, sizeof(*m), MSG_NOSIGNAL);
}

static int fail(const struct ct_recorder_opts *o, enum ct_ctl_type type, int code, const char *text)
{
	struct ct_ctl_msg m = { .type = type, .status = code };

	snprintf(m.text, sizeof(m.text), "%s", text);
	send_msg(o->control_fd, &m);
	return 1;
}

/* Each traced process costs three descriptors here; root may have as many as that takes. */
static void raise_fd_limit(void)
{
	const rlim_t wanted = 3 * CT_SEG_SLOTS + 1024;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	if (r.rlim_max < wanted) {
		struct rlimit more = { wanted, wanted };

		if (!setrlimit(RLIMIT_NOFILE, &more))
			return;
	}
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void tell_meta(struct ct_rec_ctx *c, const char *key, const char *value)
{
	struct ct_rec rec = { .type = CT_REC_META, .meta = { key, value } };

	ct_outbox_put(c->out, &rec);
}

void ct_rec_meta(struct ct_rec_ctx *c, const char *key, const char *value)
{
	const size_t len = strlen(value) + 1;
	struct ct_meta_text *m = c->rotation ? malloc(sizeof(*m) + len) : NULL;

	if (m) {
		m->key = key;
		memcpy(m->value, value, len);
		m->next = c->metas;
		c->metas = m;
	}
	tell_meta(c, key, value);
}

/* Newest first, and of those with one key the newest counts: so they are told backwards. */
static void repeat(struct ct_rec_ctx *c, const struct ct_meta_text *m)
{
	if (!m)
		return;
	repeat(c, m->next);
	tell_meta(c, m->key, m->value);
}

void ct_rec_repeat_metas(struct ct_rec_ctx *c)
{
	repeat(c, c->metas);
}

static void put_metas(struct ct_rec_ctx *c, const struct ct_recorder_opts *o)
{
	struct utsname u;
	char text[64];

	ct_rec_meta(c, "engine", o->engine);
	if (*o->engine_why)
		ct_rec_meta(c, "engine_why", o->engine_why);
	ct_rec_meta(c, "cowtrace", COWTRACE_VERSION);
	ct_rec_meta(c, "page_frames", c->caps.pfns ? "1" : "0");
	snprintf(text, sizeof(text), "%llu",
		 (unsigned long long)(o->seg->hold_ns / CT_NSEC_PER_MSEC));
	ct_rec_meta(c, "hold_ms", text);
	snprintf(text, sizeof(text), "%lld", (long long)time(NULL));
	ct_rec_meta(c, "start_time", text);
	if (!uname(&u)) {
		ct_rec_meta(c, "kernel", u.release);
		ct_rec_meta(c, "machine", u.machine);
		ct_rec_meta(c, "host", u.nodename);
	}
}

static void put_number(struct ct_rec_ctx *c, const char *key, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	ct_rec_meta(c, key, text);
}

/* What the uffd engine needs of the machine; some of it is found out by forking. */
struct machine {
	int dev; /* /dev/userfaultfd */
	enum cowtrace_model_id model;
	struct ct_fault_costs costs;
};

static bool wants_uffd(const struct ct_recorder_opts *o)
{
	return !strcmp(o->engine, "uffd");
}

static bool wants_perf(const struct ct_recorder_opts *o)
{
	return !strcmp(o->engine, "perf");
}

/* A userfaultfd with all that the engine asks for, made and thrown away. */
static int try_uffd(int dev)
{
	ct_auto_fd int fd = -1;
	u64 missing = 0;
	int err = ct_uffd_create(dev, &fd);

	return err ? err : ct_uffd_api(fd, &missing);
}

/* Before the first thread and before the trace: nothing is left where it fails. */
static int machine_measure(struct machine *m)
{
	struct ct_kgen gen;
	int err = ct_uffd_open_dev(&m->dev);

	if (!err)
		err = try_uffd(m->dev);
	if (!err)
		err = ct_kgen_probe(&gen);
	if (!err)
		err = cowtrace_model_find(gen.model, &m->model);
	if (!err)
		ct_calibrate(&m->costs);
	return err;
}

static int refuse_uffd(const struct ct_recorder_opts *o, struct machine *m, int err)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "the uffd engine cannot run here: %s; `cowtrace doctor` says what is missing, "
		 "--engine census needs nothing",
		 err == -ENOENT	  ? "there is no /dev/userfaultfd"
		 : err == -EPERM  ? "it needs CAP_SYS_PTRACE"
		 : err == -EACCES ? "/dev/userfaultfd cannot be opened by this user"
				  : strerror(-err));
	if (m->dev >= 0)
		close(m->dev);
	return fail(o, CT_CTL_NO_ENGINE, err, text);
}

static int refuse_perf(const struct ct_recorder_opts *o, const struct ct_perfev_probe *p, int err)
{
	char text[320], permit[120] = "";

	if (err == -EACCES || err == -EPERM)
		snprintf(permit, sizeof(permit),
			 p->sysctl > 2 ? " (kernel.perf_event_paranoid is %d: `sysctl "
					 "kernel.perf_event_paranoid=2` permits it)"
				       : " (by a container or a security module)",
			 p->sysctl);
	snprintf(text, sizeof(text),
		 "the perf engine cannot run here: %s%s; --engine census needs nothing",
		 err == -EACCES || err == -EPERM ? "perf events are not permitted"
		 : p->blocked == -EFAULT
			 ? "this kernel kills threads that block SIGTRAP (Linux before 5.18)"
		 : err == -EINVAL || err == -E2BIG || err == -ENOSYS
			 ? "this kernel's page-fault events raise no signal (Linux before 5.13)"
		 : err == -EIO ? "page-fault events raise no signal here"
			       : strerror(-err),
		 permit);
	return fail(o, CT_CTL_NO_ENGINE, err, text);
}

/* Takes m->dev. */
static int start_engine(struct ct_rec_ctx *c, const struct ct_recorder_opts *o,
			const struct machine *m)
{
	const struct ct_engine_opts eo = {
		.seg = c->seg, .caps = &c->caps, .kpage = &c->kpage, .model = m->model
	};
	int err;

	c->uffd_dev = m->dev;
	c->linger_ns = o->linger_ns;
	err = ct_engine_create(&eo, &c->engine);
	if (!err)
		err = ct_writes_create(c->engine, &c->writes);
	if (err)
		return err;
	c->seg->engine = CT_ENGINE_UFFD;
	ct_rec_meta(c, "policy_model", cowtrace_model_get(m->model)->name);
	put_number(c, "fault_copy_ns", m->costs.copy);
	put_number(c, "fault_reuse_ns", m->costs.reuse);
	put_number(c, "fault_huge_ns", m->costs.huge);
	put_number(c, "linger_ms", c->linger_ns / CT_NSEC_PER_MSEC);
	return 0;
}

static int start_perf(struct ct_rec_ctx *c, const struct ct_recorder_opts *o,
		      const struct ct_fault_costs *costs)
{
	int err = ct_faults_create(c, 1);

	if (err)
		return err;
	c->linger_ns = o->linger_ns;
	c->seg->engine = CT_ENGINE_PERF;
	ct_rec_meta(c, "verdicts", c->caps.pfns ? "frames" : "order");
	put_number(c, "period", c->seg->perf.period);
	put_number(c, "fault_copy_ns", costs->copy);
	put_number(c, "fault_reuse_ns", costs->reuse);
	put_number(c, "fault_huge_ns", costs->huge);
	put_number(c, "linger_ms", c->linger_ns / CT_NSEC_PER_MSEC);
	return 0;
}

static bool has_many_files(const struct ct_recorder_opts *o)
{
	return !o->token || o->rotate_len || o->rotate_ns;
}

/* A WAL that is small beside what is bounded. */
static u64 wal_len(const struct ct_recorder_opts *o)
{
	const u64 len = ct_min(o->rotate_len ? o->rotate_len : UINT64_MAX,
			       o->max_len ? o->max_len : UINT64_MAX);

	return ct_min(len / 16, 16UL << 20);
}

static int files_init(struct ct_rec_ctx *c, const struct ct_recorder_opts *o,
		      struct ct_series *series)
{
	const struct ct_outbox_files files = {
		.series = series, .argv = o->argv, .max_len = o->max_len, .wal_len = wal_len(o)
	};

	if (series)
		ct_outbox_set_files(c->out, &files);
	if (!has_many_files(o))
		return 0;
	c->rotation = calloc(1, sizeof(*c->rotation));
	if (!c->rotation)
		return -ENOMEM;
	c->rotation->len = o->rotate_len;
	c->rotation->every_ns = o->rotate_ns;
	c->rotation->began_ns = ct_now_ns();
	return 0;
}

static int ctx_init(struct ct_rec_ctx *c, const struct ct_recorder_opts *o, struct ct_store *store,
		    struct ct_series *series)
{
	int err;

	c->seg = o->seg;
	c->start_ns = o->seg->start_ns;
	c->hold_ns = o->seg->hold_ns;
	c->seg_size = o->seg->size;
	c->listens = !o->token;
	c->vmstat_fd = c->uffd_dev = -1;
	ct_kcaps_probe(&c->caps);
	ct_kpage_open(&c->kpage);
	ct_vmstat_open(&c->vmstat_fd);
	ct_thp_setting(c);
	err = ct_outbox_create(store, &c->out);
	if (err) {
		ct_store_destroy(store);
		return err;
	}
	err = files_init(c, o, series);
	if (err)
		return err;
	c->modules = ct_modules_create(c->out);
	c->sites = ct_sites_create(c->out, c->modules);
	c->names = ct_names_create();
	if (!c->modules || !c->sites || !c->names)
		return -ENOMEM;
	return ct_io_create(o->seg, o->listen_fd, o->control_fd, o->token, &c->io);
}

static void ctx_fini(struct ct_rec_ctx *c)
{
	struct ct_meta_text *next;

	ct_io_destroy(c->io);
	ct_writes_destroy(c->writes);
	ct_engine_destroy(c->engine);
	ct_faults_destroy(c);
	if (c->uffd_dev >= 0)
		close(c->uffd_dev);
	ct_modules_destroy(c->modules);
	ct_sites_destroy(c->sites);
	ct_names_destroy(c->names);
	ct_reader_fini(&c->reader);
	ct_maps_fini(&c->maps);
	ct_maps_fini(&c->code_maps);
	for (; c->metas; c->metas = next) {
		next = c->metas->next;
		free(c->metas);
	}
	free(c->rotation);
	ct_kpage_close(&c->kpage);
	if (c->vmstat_fd >= 0)
		close(c->vmstat_fd);
	free(c->tallies);
	free(c->counts);
	free(c->expected);
	free(c);
}

static void note_limits(struct ct_rec_ctx *c)
{
	if (!c->caps.pfns)
		ct_rec_note(
			c, 0, "info", "no_page_frames",
			"page frame numbers are not permitted to this user: copies are given as "
			"bounds, and not by side; record as root to have them exactly");
	if (!c->caps.pagemap_scan)
		ct_rec_note(c, 0, "info", "no_pagemap_scan",
			    "this kernel has no PAGEMAP_SCAN: huge pages are not told apart");
}

/* Ends the trace, and tells the supervisor how it went. */
static int finish(struct ct_rec_ctx *c, const struct ct_recorder_opts *o)
{
	struct ct_ctl_msg m = {
		.type = CT_CTL_DONE,
		.processes = c->totals.processes,
		.forks = c->totals.forks,
		.shared = c->totals.shared,
		.copied = c->totals.copied,
		.warnings = c->totals.notes,
		.no_pfns = !c->caps.pfns,
	};
	u64 lost_events, lost = ct_outbox_lost(c->out, &lost_events);
	const char *why = NULL;
	struct ct_err err = { "" };

	if (lost) {
		snprintf(m.text, sizeof(m.text), "the disk was too slow: %llu records were lost",
			 (unsigned long long)(lost + lost_events));
		why = m.text;
	} else if (lost_events) {
		snprintf(m.text, sizeof(m.text),
			 "the disk was too slow: %llu records of single calls (mmap, madvise, ...) "
			 "were lost; forks, regions and totals are whole",
			 (unsigned long long)lost_events);
		why = m.text;
	} else if (ct_outbox_error(c->out)) {
		snprintf(m.text, sizeof(m.text), "%s", ct_outbox_error(c->out));
		why = m.text;
	}
	if (ct_outbox_finish(c->out, why, &err) && !m.text[0])
		snprintf(m.text, sizeof(m.text), "%s", err.text);
	send_msg(o->control_fd, &m);
	return 0;
}

/* The files before this one, of the same name; NULL where they are nobody's business. */
static int find_older_files(const struct ct_recorder_opts *o, struct ct_series **ret)
{
	const struct ct_series_limits limits = { .keep = o->keep, .max_len = o->max_len };

	*ret = NULL;
	if (!has_many_files(o) && !o->max_len)
		return 0;
	return ct_series_open(o->output, &limits, has_many_files(o), ret);
}

static int record(const struct ct_recorder_opts *o, struct machine *m, struct ct_series *series)
{
	struct ct_ctl_msg ready = { .type = CT_CTL_READY };
	struct ct_store *store = NULL;
	struct ct_rec_ctx *c;
	struct ct_err err = { "" };
	int ret;

	ret = ct_store_create(o->output, &store, &err);
	if (ret)
		return fail(o, CT_CTL_FAILED, ret, err.text);
	ret = ct_store_put_command(store, o->argv);
	c = calloc(1, sizeof(*c));
	if (ret || !c) {
		ct_store_destroy(store);
		free(c);
		return fail(o, CT_CTL_FAILED, ret ? ret : -ENOMEM, "the trace could not be begun");
	}
	ret = ctx_init(c, o, store, series);
	if (!ret && wants_uffd(o))
		ret = start_engine(c, o, m);
	else if (!ret && wants_perf(o))
		ret = start_perf(c, o, &m->costs);
	if (ret) {
		ctx_fini(c);
		return fail(o, CT_CTL_FAILED, ret, strerror(-ret));
	}
	put_metas(c, o);
	note_limits(c);
	if (c->rotation)
		c->rotation->nr_put = ct_outbox_nr_put(c->out);
	ready.no_pfns = !c->caps.pfns;
	send_msg(o->control_fd, &ready);

	ct_serve(c, o->seg_fd);

	atomic_store(&o->seg->state, CT_SEG_OFF);
	ret = finish(c, o);
	ctx_fini(c);
	return ret;
}

int ct_recorder_run(const struct ct_recorder_opts *o)
{
	struct machine m = { .dev = -1 };
	struct ct_perfev_probe perfev;
	struct ct_series *series;
	int ret;

	raise_fd_limit();
	if (wants_uffd(o) && (ret = machine_measure(&m)))
		return refuse_uffd(o, &m, ret);
	if (wants_perf(o)) {
		ret = ct_perfev_probe(&perfev);
		if (ret)
			return refuse_perf(o, &perfev, ret);
		ct_calibrate(&m.costs);
	}
	ret = find_older_files(o, &series);
	if (ret)
		return fail(o, CT_CTL_FAILED, ret, strerror(-ret));
	ret = record(o, &m, series);
	ct_series_destroy(series);
	return ret;
}
