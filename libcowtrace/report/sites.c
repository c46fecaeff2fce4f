/* SPDX-License-Identifier: MIT */
/*
 * Call sites for people: frames with functions and lines, and the one line that
 * names a site.  That line is the first frame which decided to do something:
 * not an allocator's, not libc's, not a wrapper's around fork.
 */
#include <errno.h>
#include <string.h>

#include "report/gather.h"

#define MAX_INLINES 8 /* frames that one address may stand for */
#define MAX_FRAMES 64
#define OWN_MODULE "libcowtrace-preload"

/* Modules whose frames only pass a call on: by the start of the file's name. */
static const char *const passing_modules[] = {
	"libc.so",     "libc-2",      "libpthread",  "ld-linux",  "libcowtrace",
	"libjemalloc", "libtcmalloc", "libmimalloc", "libstdc++", "libgcc_s",
};

/* Functions that do, in programs that carry their allocator with them. */
static const char *const passing_functions[] = {
	"malloc",	 "calloc",	   "realloc", "reallocarray", "memalign",
	"aligned_alloc", "posix_memalign", "valloc",  "free",	      "mmap",
	"mmap64",	 "mremap",	   "sbrk",    "brk",	      "madvise",
	"fork",		 "_Fork",	   "__fork",  "__libc_fork",  "vfork",
	"clone",	 "xmalloc",	   "xcalloc", "xrealloc",     "pthread_create",
};
static const char *const passing_prefixes[] = {
	"je_",	   "tc_",	   "mi_",	  "zmalloc", "zcalloc",	  "zrealloc",
	"ztry",	   "operator new", "_int_malloc", "__libc_", "os_pages_", "pages_map",
	"extent_", "arena_",	   "tcache_",	  "large_",
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool starts_with(const char *s, const char *const *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!strncmp(s, list[i], strlen(list[i])))
			return true;
	return false;
}

static bool only_passes_on(const struct cowtrace_frame *f)
{
	if (starts_with(base_name(f->module), passing_modules, ct_array_size(passing_modules)))
		return true;
	for (size_t i = 0; i < ct_array_size(passing_functions); i++)
		if (!strcmp(f->function, passing_functions[i]))
			return true;
	return starts_with(f->function, passing_prefixes, ct_array_size(passing_prefixes));
}

/* The first frame from `from` on that decided something; nr_frames when none did. */
static u32 next_deciding(const struct cowtrace_site *s, u32 from)
{
	while (from < s->nr_frames && only_passes_on(&s->frames[from]))
		from++;
	return from;
}

static const char *describe(struct cowtrace_report *r, const struct cowtrace_frame *f)
{
	if (f->file && f->line)
		return ct_pool_format(&r->pool, "%s (%s:%d)", f->function, base_name(f->file),
				      f->line);
	if (f->file)
		return ct_pool_format(&r->pool, "%s (%s)", f->function, base_name(f->file));
	/* "module+0xoffset" names its module already. */
	if (!*f->module || strchr(f->function, '+'))
		return f->function;
	return ct_pool_format(&r->pool, "%s (%s)", f->function, base_name(f->module));
}

static int name_site(struct cowtrace_report *r, struct cowtrace_site *s)
{
	u32 first = next_deciding(s, 0), second = next_deciding(s, first + 1);

	/* All of it libc: then its leaf. */
	if (first == s->nr_frames)
		first = 0;
	s->deciding = first;
	s->text = s->nr_frames ? describe(r, &s->frames[first]) : "";
	s->caller = second < s->nr_frames ? s->frames[second].function : "";
	return s->text ? 0 : -ENOMEM;
}

/* A place without a name. */
static int bare(struct cowtrace_report *r, const struct ct_trace_frame *f, const char *module,
		struct cowtrace_frame *ret)
{
	const char *text;

	if (*module)
		text = ct_pool_format(&r->pool, "%s+0x%llx", base_name(module),
				      (unsigned long long)f->offset);
	else
		text = ct_pool_format(&r->pool, "0x%llx", (unsigned long long)f->offset);
	if (!text)
		return -ENOMEM;
	*ret = (struct cowtrace_frame){ .function = text, .module = module, .offset = f->offset };
	return 0;
}

/* The frames that one recorded frame stands for: inlined callers make it several. */
static int resolve(struct cowtrace_report *r, const struct ct_trace_frame *f, s32 pid,
		   struct cowtrace_frame ret[MAX_INLINES], size_t *ret_nr)
{
	const struct ct_trace_module *m = ct_trace_module(r->trace, f->module);
	struct ct_frame got[MAX_INLINES];
	size_t nr = 1;
	int rc;

	*ret_nr = 1;
	if (!r->symbolizer)
		return bare(r, f, m ? m->path : "", ret);
	/* Return addresses, all of them: record.h says how an interrupted leaf is one. */
	if (m)
		rc = ct_symbolize(r->symbolizer, m->path, m->build_id, m->build_id_len, f->offset,
				  CT_SYMBOLIZE_RETURN, got, MAX_INLINES, &nr);
	else
		rc = ct_symbolize_jit(r->symbolizer, pid, f->offset, CT_SYMBOLIZE_RETURN, got);
	if (rc == -ENOMEM)
		return rc;
	if (rc)
		return bare(r, f, m ? m->path : "", ret);
	for (size_t i = 0; i < nr; i++)
		ret[i] = (struct cowtrace_frame){ got[i].function,  got[i].file, got[i].line,
						  m ? m->path : "", f->offset,	 got[i].inlined };
	*ret_nr = nr;
	return 0;
}

/* A write in our own hooks is told by who called them. */
static bool is_own(const struct cowtrace_report *r, const struct ct_trace_frame *f)
{
	const struct ct_trace_module *m = ct_trace_module(r->trace, f->module);

	return m && !strncmp(base_name(m->path), OWN_MODULE, strlen(OWN_MODULE));
}

static int make_site(struct cowtrace_report *r, struct cowtrace_site *s, u32 id, s32 pid)
{
	struct cowtrace_frame frames[MAX_FRAMES];
	const struct ct_trace_frame *f;
	struct cowtrace_frame *kept;
	size_t nr, out = 0;

	f = ct_trace_frames(r->trace, id, &nr);
	for (size_t i = 0; i < nr && out + MAX_INLINES <= MAX_FRAMES; i++) {
		size_t more;
		int rc;

		if (is_own(r, &f[i]))
			continue;
		rc = resolve(r, &f[i], pid, frames + out, &more);
		if (rc)
			return rc;
		out += more;
	}
	/* All of it ours: said, but not how we do it. */
	if (nr && !out)
		frames[out++] = (struct cowtrace_frame){ .function = "[cowtrace]", .module = "" };
	kept = malloc(out * sizeof(*frames) + !out);
	if (!kept)
		return -ENOMEM;
	memcpy(kept, frames, out * sizeof(*frames));
	s->id = id;
	s->frames = kept;
	s->nr_frames = (u32)out;
	return name_site(r, s);
}

/* A site that something refers to, and a process that was there (JIT maps are by pid). */
struct use {
	u32 site;
	s32 pid;
	bool of_call; /* a fork, a mapping, or a call that lost a huge page */
};

static int by_site(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	/* The first one stays. */
	return (int)y->of_call - (int)x->of_call;
}

static size_t collect(const struct cowtrace_report *r, struct use *uses)
{
	const struct ct_trace *t = r->trace;
	size_t n = 0, out = 0;

	for (size_t i = 0; i < t->nr_forks; i++) {
		const struct cowtrace_process *p = ct_report_process_of(r, t->forks[i].parent);

		if (r->fork_selected[i] && t->forks[i].site)
			uses[n++] = (struct use){ t->forks[i].site, p ? p->pid : 0, true };
	}
	for (size_t i = 0; i < t->nr_regions; i++) {
		const struct cowtrace_process *p = ct_report_process_of(r, t->regions[i].process);

		if (r->region_selected[i] && t->regions[i].site)
			uses[n++] = (struct use){ t->regions[i].site, p ? p->pid : 0, true };
	}
	for (size_t i = 0; i < t->nr_losses; i++) {
		const struct ct_trace_loss *l = &t->losses[i];
		const struct cowtrace_process *p = ct_report_process_of(r, l->process);

		if (l->site && ct_report_wants_call(r, l->process, l->t_ns))
			uses[n++] = (struct use){ l->site, p ? p->pid : 0, true };
	}
	for (u32 i = 0; i < r->gather->sites.nr; i++) {
		const struct ct_gather_site *g = &r->gather->site[i];
		const struct cowtrace_process *p = ct_report_process_of(r, g->process);

		uses[n++] = (struct use){ g->site, p ? p->pid : 0, false };
	}
	qsort(uses, n, sizeof(*uses), by_site);
	for (size_t i = 0; i < n; i++)
		if (!out || uses[out - 1].site != uses[i].site)
			uses[out++] = uses[i];
	return out;
}

int ct_report_make_sites(struct cowtrace_report *r)
{
	ct_auto_free struct use *uses =
		ct_report_array(r->trace->nr_forks + r->trace->nr_regions + r->trace->nr_losses +
					r->gather->sites.nr,
				sizeof(*uses));
	size_t nr;

	if (!uses)
		return -ENOMEM;
	nr = collect(r, uses);
	r->sites = ct_report_array(nr, sizeof(*r->sites));
	if (!r->sites)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		struct cowtrace_site *s = &r->sites[r->nr_sites++];
		int rc = make_site(r, s, uses[i].site, uses[i].pid);

		s->of_call = uses[i].of_call;
		if (rc)
			return rc;
	}
	return 0;
}
