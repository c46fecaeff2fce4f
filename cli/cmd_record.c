/* SPDX-License-Identifier: MIT */
/*
 * cowtrace record: the supervisor.
 *
 * Starts the recorder, then the command; waits for both; passes signals and the
 * exit status through.  It serves nobody and touches no trace, so that nothing
 * can stop it from its one duty: a recorder whose heartbeat stands still for a
 * second is killed, and the programs go on untraced.
 *
 * With --listen there is no command: programs come and go, and a signal ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/filters.h"
#include "commands.h"
#include "exit.h"
#include "launch.h"
#include "listen.h"
#include "notify.h"
#include "record_engine.h"
#include "record_options.h"
#include "recorder/io.h"
#include "recorder/recorder.h"
#include "waits.h"

#define WATCH_MS 250
#define HEARTBEAT_LIMIT_NS CT_NSEC_PER_SEC

struct session {
	const struct ct_record_options *opt;
	struct ct_launch launch;
	struct ct_record_engine engine;
	struct ct_listen listen; /* --listen */
	char *listen_argv[5];	 /* what stands for the command then */
	struct ct_notify notify;
	struct ct_recorder_opts rec;
	struct ct_segment *seg;
	char *output;
	char token[CT_TOKEN_LEN + 1];
	int control_fd, signal_fd;
	sigset_t old_mask;
	pid_t recorder, command;
	int command_status; /* wait status */
	bool command_ended, recorder_ended, recorder_killed, stop_sent, told_waiting;
	u64 beat_seen_ns, beat_at_ns; /* the heartbeat, and when it last moved */
	struct ct_ctl_msg done;
};

static int complain(int status, const char *text)
{
	fprintf(stderr, "cowtrace record: %s\n", text);
	return status;
}

static int make_segment(struct session *s, struct ct_err *err)
{
	const u64 size = (sizeof(struct ct_segment) + CT_PAGE_SIZE - 1) & ~(CT_PAGE_SIZE - 1);
	int fd = memfd_create(CT_SEG_MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* A limit on file sizes holds for shared memory too. */
	sighandler_t old = signal(SIGXFSZ, SIG_IGN);
	int failed = fd < 0 || ftruncate(fd, (off_t)size);

	signal(SIGXFSZ, old);
	if (failed && errno == EFBIG)
		return ct_err_set(
			err, CT_EXIT_RECORD_FAILED,
			"the limit on file sizes (ulimit -f) is below the %llu MiB of shared "
			"memory that a recording needs: raise it",
			(unsigned long long)(size >> 20) + 1);
	if (failed)
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "shared memory: %s", strerror(errno));
	/* Nobody may cut it off under anybody's feet. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	s->seg = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s->seg == MAP_FAILED)
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "shared memory: %s", strerror(errno));
	ct_segment_init(s->seg, size, s->opt->hold_ms * CT_NSEC_PER_MSEC);
	s->rec.seg = s->seg;
	s->rec.seg_fd = fd;
	return 0;
}

static int make_socket(struct session *s, struct ct_err *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	u8 random[CT_TOKEN_LEN / 2 + 8];
	char name[64];
	size_t i;
	int fd;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "random: %s", strerror(errno));
	for (i = 0; i < CT_TOKEN_LEN / 2; i++)
		snprintf(s->token + 2 * i, 3, "%02x", random[i]);
	snprintf(name, sizeof(name), "cowtrace-%d-%02x%02x%02x%02x", getpid(), random[i],
		 random[i + 1], random[i + 2], random[i + 3]);
	snprintf(s->launch.address, sizeof(s->launch.address), "%s:%s:%u", name, s->token,
		 ct_filters_count());
	memcpy(sun.sun_path + 1, name, strlen(name));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&sun,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) ||
	    listen(fd, 1024))
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "socket: %s", strerror(errno));
	s->rec.listen_fd = fd;
	s->rec.token = s->token;
	return 0;
}

static bool is_listening(const struct session *s)
{
	return s->opt->listen != NULL;
}

static int listen_at_path(struct session *s, struct ct_err *err)
{
	const struct group *gr = NULL;
	int status;

	if (s->opt->listen_group) {
		gr = getgrnam(s->opt->listen_group);
		if (!gr)
			return ct_err_set(err, CT_EXIT_USAGE, "there is no group %s",
					  s->opt->listen_group);
	}
	status = ct_listen_open(&s->listen, s->opt->listen, gr ? gr->gr_gid : (gid_t)-1, err);
	s->rec.listen_fd = s->listen.fd;
	return status;
}

/* The recorder's process: out of the terminal's reach, so that ^Z and ^C pass it by. */
static void run_recorder(struct session *s, int control_fd)
{
	setsid();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	prctl(PR_SET_NAME, "cowtrace-rec");
	close(s->control_fd);
	close(s->signal_fd);
	/* A limit on file sizes is an error of the trace, not the recorder's death. */
	signal(SIGXFSZ, SIG_IGN);
	s->rec.control_fd = control_fd;
	_exit(ct_recorder_run(&s->rec));
}

static int status_of_output(int code)
{
	return code == -ENOMEM || code == -EAGAIN ? CT_EXIT_RECORD_FAILED : CT_EXIT_RECORD_OUTPUT;
}

/* No exit status: another engine may be tried. */
#define NO_ENGINE (-1)

static int start_recorder(struct session *s, struct ct_err *err)
{
	struct ct_ctl_msg m;
	ssize_t n;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "socketpair: %s", strerror(errno));
	s->control_fd = sv[0];
	s->recorder = fork();
	if (s->recorder == 0)
		run_recorder(s, sv[1]);
	close(sv[1]);
	close(s->rec.listen_fd);
	if (s->recorder < 0)
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "fork: %s", strerror(errno));
	do
		n = recv(s->control_fd, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n == sizeof(m) && m.type == CT_CTL_READY)
		return 0;
	waitpid(s->recorder, NULL, 0);
	close(s->control_fd);
	if (n == sizeof(m) && m.type == CT_CTL_FAILED)
		return ct_err_set(err, status_of_output(m.status), "%s", m.text);
	if (n == sizeof(m) && m.type == CT_CTL_NO_ENGINE) {
		ct_err_set(err, CT_EXIT_RECORD_FAILED, "%s", m.text);
		return NO_ENGINE;
	}
	return ct_err_set(err, CT_EXIT_RECORD_FAILED, "the recorder did not start");
}

static void tell_recorder(struct session *s, char what)
{
	(void)!send(s->control_fd, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The recorder is no more: let everybody who waits for it go. */
static void release_programs(struct session *s)
{
	u32 i;

	atomic_store(&s->seg->state, CT_SEG_OFF);
	for (i = 0; i < CT_SEG_SLOTS; i++)
		if (atomic_load(&s->seg->slots[i].state) != CT_SLOT_FREE)
			ct_futex_wake(&s->seg->slots[i].ask, 1);
}

static void reap(struct session *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->command) {
			s->command_ended = true;
			s->command_status = status;
			tell_recorder(s, CT_CTL_COMMAND_ENDED);
		} else if (pid == s->recorder) {
			s->recorder_ended = true;
			release_programs(s);
		}
	}
}

static void stop_recording(struct session *s)
{
	if (!s->stop_sent) {
		ct_notify_say(&s->notify, "STOPPING=1\nSTATUS=finishing the trace");
		tell_recorder(s, CT_CTL_STOP);
	}
	s->stop_sent = true;
}

static void on_signal(struct session *s, const struct signalfd_siginfo *si)
{
	switch (si->ssi_signo) {
	case SIGCHLD:
		reap(s);
		break;
	case SIGINT:
	case SIGQUIT:
		/* From the terminal the command has it already. */
		if (s->command_ended)
			stop_recording(s);
		else if (si->ssi_code != SI_KERNEL)
			kill(s->command, (int)si->ssi_signo);
		break;
	case SIGHUP:
		if (is_listening(s)) {
			tell_recorder(s, CT_CTL_NEXT_FILE);
			break;
		}
		/* fallthrough */
	default:
		if (s->command && !s->command_ended)
			kill(s->command, (int)si->ssi_signo);
		else if (si->ssi_signo == SIGTERM || si->ssi_signo == SIGHUP)
			stop_recording(s);
		break;
	}
}

static void watch_recorder(struct session *s)
{
	u64 beat = atomic_load(&s->seg->heartbeat_ns), now = ct_now_ns(), since;

	if (beat != s->beat_seen_ns || !s->beat_at_ns) {
		s->beat_seen_ns = beat;
		s->beat_at_ns = now;
		ct_notify_alive(&s->notify, now);
		return;
	}
	/* It may have said how long it will be: nobody stops to say so within one call. */
	since = ct_max(beat, s->beat_at_ns);
	since = ct_min(since, s->beat_at_ns + CT_ASK_CLONE_NS);
	if (s->recorder_ended || s->recorder_killed ||
	    (s64)(now - since) < (s64)HEARTBEAT_LIMIT_NS ||
	    atomic_load(&s->seg->state) == CT_SEG_OFF ||
	    (now - s->beat_at_ns < CT_ASK_CLONE_NS && ct_waits_for_clone(s->seg, s->recorder)))
		return;
	kill(s->recorder, SIGKILL);
	s->recorder_killed = true;
	release_programs(s);
}

static void tell_waiting(struct session *s)
{
	if (s->opt->quiet || s->told_waiting || is_listening(s) || !isatty(STDERR_FILENO))
		return;
	s->told_waiting = true;
	fprintf(stderr,
		"cowtrace record: the command has ended; recording its other processes until they "
		"end (Ctrl-C stops the recording, not them)\n");
}

/* A manager that is in a hurry is looked after as often. */
static int watch_ms(const struct session *s)
{
	const u64 ms = s->notify.watchdog_ns / 3 / CT_NSEC_PER_MSEC;

	return s->notify.watchdog_ns && ms < WATCH_MS ? (int)ct_max(ms, 1UL) : WATCH_MS;
}

static void wait_for_all(struct session *s)
{
	struct pollfd fds[2] = { { .fd = s->signal_fd, .events = POLLIN },
				 { .fd = s->control_fd, .events = POLLIN } };
	struct signalfd_siginfo si;
	struct ct_ctl_msg m;
	u64 ended_ns = 0;
	ssize_t n;

	while (!s->command_ended || !s->recorder_ended) {
		poll(fds, 2, watch_ms(s));
		if (fds[1].revents) {
			n = recv(s->control_fd, &m, sizeof(m), MSG_DONTWAIT);
			if (n == sizeof(m) && m.type == CT_CTL_DONE)
				s->done = m;
			else if (n == 0)
				fds[1].fd = -1;
		}
		while (fds[0].revents && read(s->signal_fd, &si, sizeof(si)) == sizeof(si))
			on_signal(s, &si);
		watch_recorder(s);
		if (s->command_ended && !s->recorder_ended) {
			if (!ended_ns)
				ended_ns = ct_now_ns();
			else if (ct_now_ns() - ended_ns > 2 * CT_NSEC_PER_SEC)
				tell_waiting(s);
		}
	}
	/* What the recorder said last, before its end of the socket closed. */
	while ((n = recv(s->control_fd, &m, sizeof(m), MSG_DONTWAIT)) == sizeof(m))
		if (m.type == CT_CTL_DONE)
			s->done = m;
}

static int command_exit(const struct session *s)
{
	if (WIFSIGNALED(s->command_status))
		return 128 + WTERMSIG(s->command_status);
	return WEXITSTATUS(s->command_status);
}

static void print_mib(char *buf, size_t len, u64 pages)
{
	double mib = (double)pages * CT_PAGE_SIZE / (1 << 20);

	if (mib >= 1024)
		snprintf(buf, len, "%.1f GiB", mib / 1024);
	else
		snprintf(buf, len, "%.1f MiB", mib);
}

/* The last line, and what cowtrace itself has to say about the run. */
static int sum_up(struct session *s)
{
	int status = command_exit(s);
	bool torn = s->done.type != CT_CTL_DONE || s->done.text[0];
	char shared[32], copied[32];

	if (s->done.type != CT_CTL_DONE)
		fprintf(stderr,
			"cowtrace record: the recorder %s; the programs ran on untraced and %s is "
			"incomplete\n",
			s->recorder_killed ? "stood still for a second and was killed"
					   : "was killed",
			s->output);
	else if (s->done.text[0])
		fprintf(stderr, "cowtrace record: %s is incomplete: %s\n", s->output, s->done.text);
	else if (!s->done.processes && is_listening(s))
		fprintf(stderr,
			"cowtrace record: no program came: were they started with LD_PRELOAD=%s "
			"and " CT_ENV_RECORDER "=%s, and may they connect there?\n",
			s->launch.preload, s->listen.path);
	else if (!s->done.processes)
		fprintf(stderr,
			"cowtrace record: nothing was recorded: %s did not load the preload (is it "
			"static, or does it start another program through sudo or su?)\n",
			s->launch.argv[0]);
	else if (!s->opt->quiet) {
		print_mib(shared, sizeof(shared), s->done.shared);
		print_mib(copied, sizeof(copied), s->done.copied);
		fprintf(stderr, "cowtrace record: %llu process%s, %llu fork%s: %s shared",
			(unsigned long long)s->done.processes, s->done.processes == 1 ? "" : "es",
			(unsigned long long)s->done.forks, s->done.forks == 1 ? "" : "s", shared);
		if (!s->done.no_pfns)
			fprintf(stderr, ", %s copied", copied);
		else
			fprintf(stderr, ", copied in bounds");
		if (s->done.warnings)
			fprintf(stderr, ", %llu warning%s", (unsigned long long)s->done.warnings,
				s->done.warnings == 1 ? "" : "s");
		fprintf(stderr, "; next: cowtrace report %s\n", s->output);
	}
	if (status)
		return status;
	if (torn)
		return CT_EXIT_RECORD_TORN;
	return s->done.processes || is_listening(s) ? 0 : CT_EXIT_RECORD_NOTHING;
}

static int block_signals(struct session *s, struct ct_err *err)
{
	static const int signals[] = { SIGCHLD, SIGINT,	 SIGQUIT,  SIGTERM, SIGHUP,
				       SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM, SIGCONT };
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < ct_array_size(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &s->old_mask);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return ct_err_set(err, CT_EXIT_RECORD_FAILED, "signalfd: %s", strerror(errno));
	return 0;
}

/* With the engine that was found, or with another one where it does not start. */
static int start_any_recorder(struct session *s, struct ct_err *err)
{
	int status;

	do {
		s->rec.engine = s->engine.name;
		s->rec.engine_why = s->engine.why;
		status = is_listening(s) ? listen_at_path(s, err) : make_socket(s, err);
		if (!status)
			status = start_recorder(s, err);
	} while (status == NO_ENGINE && ct_record_engine_next(&s->engine));
	return status == NO_ENGINE ? CT_EXIT_RECORD_FAILED : status;
}

static void tell_engine(const struct session *s)
{
	if (s->engine.chosen && !s->opt->quiet)
		fprintf(stderr, "cowtrace record: %s\n", s->engine.why);
}

/* Nothing of ours is started: what the trace has for a command is ourselves. */
static void set_listening(struct session *s)
{
	static char *const words[] = { (char *)"cowtrace", (char *)"record", (char *)"--listen" };

	memcpy(s->listen_argv, words, sizeof(words));
	s->listen_argv[ct_array_size(words)] = (char *)s->opt->listen;
	s->launch.argv = s->listen_argv;
	s->command_ended = true;
	ct_notify_init(&s->notify);
}

static int prepare(struct session *s, struct ct_err *err)
{
	int status = is_listening(s) ? 0 : ct_launch_find(&s->launch, err);

	if (!status)
		status = ct_launch_preload(&s->launch, err);
	if (!status && ct_expand_name(s->opt->output, getpid(), s->launch.argv[0], &s->output))
		status = ct_err_set(err, CT_EXIT_USAGE,
				    "--output %s: after %% comes p, e, t, h or %%", s->opt->output);
	s->rec.sz = sizeof(s->rec);
	s->rec.output = s->output;
	s->rec.linger_ns = s->opt->linger_ms * CT_NSEC_PER_MSEC;
	s->rec.argv = s->launch.argv;
	s->rec.rotate_len = s->opt->rotate_len;
	s->rec.rotate_ns = s->opt->rotate_ns;
	s->rec.keep = (u32)ct_min(s->opt->keep, (u64)UINT32_MAX);
	s->rec.max_len = s->opt->max_len;
	if (!status)
		status = ct_record_engine_find(s->opt->engine, &s->engine, err);
	if (!status)
		status = block_signals(s, err);
	if (!status)
		status = make_segment(s, err);
	return status ? status : start_any_recorder(s, err);
}

/* Started, and now until the end. */
static int listen_until_told(struct session *s)
{
	char text[256];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=listening at %s", s->listen.path);
	ct_notify_say(&s->notify, text);
	if (!s->opt->quiet)
		fprintf(stderr,
			"cowtrace record: listening; start programs with "
			"LD_PRELOAD=%s " CT_ENV_RECORDER "=%s\n",
			s->launch.preload, s->listen.path);
	tell_engine(s);
	wait_for_all(s);
	ct_listen_remove(&s->listen);
	return sum_up(s);
}

/* The command did not start: nothing that looks like a trace is left. */
static void undo(struct session *s)
{
	s->command_ended = true;
	stop_recording(s);
	waitpid(s->recorder, NULL, 0);
	unlink(s->output);
}

static int run_command(struct session *s, struct ct_err *err)
{
	int status = ct_launch_start(&s->launch, &s->old_mask, &s->command, err);

	if (status) {
		undo(s);
		return complain(status, err->text);
	}
	tell_engine(s);
	wait_for_all(s);
	return sum_up(s);
}

/* Less than this and a file has hardly room for its tables. */
#define ROTATE_LEN_MIN (256UL << 10)
#define MAX_LEN_MIN (4UL << 20)

static int check_files(const struct ct_record_options *o)
{
	if (o->rotate_len && o->rotate_len < ROTATE_LEN_MIN)
		return ct_usage_error(&ct_command_record, "--rotate-size is 256k at least");
	if (o->max_len && o->max_len < MAX_LEN_MIN)
		return ct_usage_error(&ct_command_record, "--max-disk is 4M at least");
	if (o->max_len && o->rotate_len > o->max_len / 2)
		return ct_usage_error(&ct_command_record,
				      "--rotate-size is more than half of --max-disk: no older "
				      "file would have room");
	if (o->keep && !o->rotate_len && !o->rotate_ns && !o->listen)
		return ct_usage_error(&ct_command_record,
				      "--keep wants --rotate-size or --rotate-every");
	return 0;
}

static int check_usage(const struct ct_record_options *o, bool has_command)
{
	if (!has_command && !o->listen)
		return ct_usage_error(&ct_command_record, "no command to run");
	if (has_command && o->listen)
		return ct_usage_error(&ct_command_record,
				      "--listen and a command: with --listen programs are started "
				      "by others");
	if (o->listen && o->user)
		return ct_usage_error(&ct_command_record,
				      "--listen and --user: there is no command to run as %s",
				      o->user);
	if (o->listen_group && !o->listen)
		return ct_usage_error(&ct_command_record, "--listen-group wants --listen PATH");
	return check_files(o);
}

int ct_cmd_record(int argc, char **argv)
{
	struct ct_record_options opt = CT_RECORD_OPTIONS_INIT;
	int status, first = ct_opt_parse(&ct_command_record, argc, argv, &opt, &status);
	struct ct_err err = { "" };
	struct session *s;

	if (first < 0)
		return status;
	if ((status = check_usage(&opt, first < argc)))
		return status;
	s = calloc(1, sizeof(*s));
	if (!s)
		return complain(CT_EXIT_RECORD_FAILED, "out of memory");
	s->opt = &opt;
	s->launch.argv = argv + first;
	s->launch.user = opt.user;
	s->notify.fd = -1;
	if (opt.listen)
		set_listening(s);
	status = prepare(s, &err);
	if (status) {
		ct_listen_remove(&s->listen);
		complain(status, err.text);
	} else {
		status = opt.listen ? listen_until_told(s) : run_command(s, &err);
	}
	free(s->output);
	free(s);
	return status;
}
