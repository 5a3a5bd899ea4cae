# shellcheck shell=sh
# For scripts that run several stages: a line for each with its duration, and the log of one that
# failed. To be sourced; sets up a directory for logs that goes when the script ends.
#
#   run_stage NAME COMMAND...   runs it with its output in "$stage_log"; returns its status
#   finish_stage NAME STATUS    prints the line; for stages that were run in another way
#   count_tests                 adds the counts in "$stage_log" to tests_passed, tests_failed, …
#   print_total                 "N passed, N failed", and ", N skipped" where some were

stage_directory=$(mktemp -d "${TMPDIR:-/tmp}/cachetunnel-stages.XXXXXX")
stage_log=$stage_directory/log
stage_started=0
stages_failed=0
tests_passed=0
tests_failed=0
tests_skipped=0

trap 'rm -rf "$stage_directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_stage() {
	stage_started=$(date +%s)
	: >"$stage_log"
}

finish_stage() {
	stage_took=$(($(date +%s) - stage_started))
	if [ "$2" -eq 0 ]; then
		printf 'ok      %-42s %4d s\n' "$1" "$stage_took"
		# Whatever was left out is told even when all is well.
		sed -n 's/^note: /        /p' "$stage_log"
		return 0
	fi
	stages_failed=$((stages_failed + 1))
	printf 'FAILED  %-42s %4d s\n' "$1" "$stage_took"
	sed 's/^/    | /' "$stage_log"
	return 0
}

run_stage() {
	stage_name=$1
	shift
	start_stage
	stage_status=0
	"$@" >"$stage_log" 2>&1 </dev/null || stage_status=$?
	finish_stage "$stage_name" "$stage_status"
	return "$stage_status"
}

# The last line that counts: "12 passed, 1 failed" of our own runners, or pytest's
# "1 failed, 12 passed, 2 skipped, 1 error in 3.21s". Prints "PASSED FAILED SKIPPED".
last_counts() {
	awk '
		/(^|[ =])[0-9]+ (passed|failed|errors?|skipped)([ ,]|$)/ {
			passed = failed = skipped = 0
			for (i = 2; i <= NF; i++) {
				if ($i ~ /^passed,?$/) passed += $(i - 1)
				else if ($i ~ /^(failed|errors?),?$/) failed += $(i - 1)
				else if ($i ~ /^skipped,?$/) skipped += $(i - 1)
			}
		}
		END { print passed + 0, failed + 0, skipped + 0 }
	' "$1"
}

count_tests() {
	counts=$(last_counts "$stage_log")
	failed=${counts#* }
	failed=${failed% *}
	# A stage that failed without a failing test (a build that broke, say) is one failure.
	if [ "$stage_status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		failed=1
	fi
	tests_passed=$((tests_passed + ${counts%% *}))
	tests_failed=$((tests_failed + failed))
	tests_skipped=$((tests_skipped + ${counts##* }))
}

print_total() {
	if [ "$tests_skipped" -gt 0 ]; then
		echo "$tests_passed passed, $tests_failed failed, $tests_skipped skipped"
	else
		echo "$tests_passed passed, $tests_failed failed"
	fi
}

processor_count() {
	nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2
}
