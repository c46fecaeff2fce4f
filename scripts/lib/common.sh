# SPDX-License-Identifier: MIT
# Shared by the scripts: steps that are quiet unless they fail.

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# step WHAT COMMAND...: runs the command with its output put aside.  When it
# fails, says which step, shows the output, and returns the command's status.
step()
{
	step_name=$1
	shift
	step_log=$(mktemp) || return 1
	"$@" >"$step_log" 2>&1
	step_status=$?
	if [ "$step_status" -ne 0 ]; then
		echo "${0##*/}: failed: $step_name (status $step_status)" >&2
		tail -n 200 "$step_log" >&2
	fi
	rm -f "$step_log"
	return "$step_status"
}

# configure DIR [OPTION...]: a build folder, made once and kept.
configure()
{
	build_dir=$1
	shift
	[ -f "$build_dir/build.ninja" ] && return 0
	rm -rf "$build_dir"
	step "meson setup $build_dir" meson setup "$@" "$build_dir" "$root"
}
