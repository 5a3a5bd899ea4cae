# GNU make. Variables to set on the command line or in the environment:
#   SAN=address,undefined | thread   build with sanitizers, in a folder of its own
#   WERROR=1                         warnings are errors (CI)
#   V=1                              show the commands
#   CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, SYSCONFDIR, UNITDIR   as usual
# Targets: all check check-unit check-integration check-fuzz check-counts bench bench-docs bench-bastion bench-failover lint format install uninstall clean

VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := cc
endif
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR ?= $(PREFIX)/share/man
COMMA := ,
BUILD ?= build$(if $(SAN),/san-$(subst $(COMMA),-,$(SAN)))

# --- Libraries -------------------------------------------------------------------------------
PKG_CONFIG ?= pkg-config
LIBRARIES := openssl libevent libevent_pthreads libcares libssh2 inih jansson

# A missing library is named together with the package that brings it.
PACKAGE_openssl := libssl-dev (Debian), openssl-devel (Fedora), openssl (Homebrew)
PACKAGE_libevent := libevent-dev (Debian), libevent-devel (Fedora), libevent (Homebrew)
PACKAGE_libevent_pthreads := $(PACKAGE_libevent)
PACKAGE_libcares := libc-ares-dev (Debian), c-ares-devel (Fedora), c-ares (Homebrew)
PACKAGE_libssh2 := libssh2-1-dev (Debian), libssh2-devel (Fedora), libssh2 (Homebrew)
PACKAGE_inih := libinih-dev (Debian), inih-devel (Fedora), inih (Homebrew)
PACKAGE_jansson := libjansson-dev (Debian), jansson-devel (Fedora), jansson (Homebrew)
PACKAGE_cmocka := libcmocka-dev (Debian), libcmocka-devel (Fedora), cmocka (Homebrew)

NEEDS_LIBRARIES := $(filter-out clean format lint uninstall,$(or $(MAKECMDGOALS),all))
ifneq ($(NEEDS_LIBRARIES),)
ifeq ($(shell command -v $(PKG_CONFIG)),)
$(error pkg-config is missing: install the package pkg-config)
endif
require = $(if $(shell $(PKG_CONFIG) --exists $(1) && echo yes),,\
	$(error library '$(1)' is missing: install $(PACKAGE_$(1))))
$(foreach library,$(LIBRARIES),$(call require,$(library)))
LIBRARY_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(LIBRARIES))
LIBRARY_LIBS := $(shell $(PKG_CONFIG) --libs $(LIBRARIES))
HAS_SECCOMP := $(shell $(PKG_CONFIG) --exists libseccomp && echo yes)
HAS_SYSTEMD := $(shell $(PKG_CONFIG) --exists libsystemd && echo yes)
endif

# --- Sources ---------------------------------------------------------------------------------
SOURCES := \
	src/base/buffer.c \
	src/base/clock.c \
	src/base/compat.c \
	src/base/err.c \
	src/base/identity.c \
	src/base/log.c \
	src/base/log_file.c \
	src/base/log_json.c \
	src/base/log_line.c \
	src/base/log_repeats.c \
	src/base/memory.c \
	src/base/terminal.c \
	src/base/text.c \
	src/config/address.c \
	src/config/bastion_options.c \
	src/config/bastion_types.c \
	src/config/bastions.c \
	src/config/config.c \
	src/config/debug_setting.c \
	src/config/filler.c \
	src/config/name_servers.c \
	src/config/option.c \
	src/config/option_types.c \
	src/config/options.c \
	src/config/reader.c \
	src/config/report.c \
	src/config/role.c \
	src/config/socket_access.c \
	src/config/socket_options.c \
	src/config/source.c \
	src/config/ssh_alias.c \
	src/config/ssh_query.c \
	src/config/tls_options.c \
	src/config/user_path.c \
	src/config/validate.c \
	src/config/validate_bastions.c \
	src/config/validate_services.c \
	src/control/answers.c \
	src/control/commands.c \
	src/control/control.c \
	src/control/control_socket.c \
	src/control/doctor.c \
	src/control/doctor_advice.c \
	src/control/doctor_daemon.c \
	src/control/doctor_json.c \
	src/control/doctor_listener.c \
	src/control/doctor_report.c \
	src/control/doctor_steps.c \
	src/control/doctor_text.c \
	src/control/doctor_walk.c \
	src/control/http_client.c \
	src/control/http_server.c \
	src/control/json.c \
	src/control/light.c \
	src/control/metrics.c \
	src/control/network.c \
	src/control/page.c \
	src/control/port_owner.c \
	src/control/redis_probe.c \
	src/control/resources.c \
	src/control/status.c \
	src/control/status_where.c \
	src/control/status_table.c \
	src/control/survey.c \
	src/control/upstream.c \
	src/redis/conversation.c \
	src/redis/reply.c \
	src/redis/scan.c \
	src/ssh/agent.c \
	src/ssh/agent_message.c \
	src/ssh/agent_query.c \
	src/ssh/alive.c \
	src/ssh/base64.c \
	src/ssh/bcrypt_pbkdf.c \
	src/ssh/certificate.c \
	src/ssh/channel.c \
	src/ssh/child.c \
	src/ssh/credentials.c \
	src/ssh/explain.c \
	src/ssh/host_check.c \
	src/ssh/host_key.c \
	src/ssh/key_cipher.c \
	src/ssh/key_kind.c \
	src/ssh/known_host.c \
	src/ssh/known_hosts.c \
	src/ssh/known_hosts_append.c \
	src/ssh/login.c \
	src/ssh/login_agent.c \
	src/ssh/login_file.c \
	src/ssh/login_password.c \
	src/ssh/no_common.c \
	src/ssh/open.c \
	src/ssh/openssh_key.c \
	src/ssh/private_key.c \
	src/ssh/proxy_command.c \
	src/ssh/proxy_command_expand.c \
	src/ssh/public_key.c \
	src/ssh/server_offer.c \
	src/ssh/session.c \
	src/ssh/transport.c \
	src/ssh/wire.c \
	src/stream/socket_stream.c \
	src/stream/stream.c \
	src/stream/tls_bio.c \
	src/stream/tls_certificate.c \
	src/stream/tls_context.c \
	src/stream/tls_error.c \
	src/stream/tls_identity.c \
	src/stream/tls_sessions.c \
	src/stream/tls_stream.c \
	src/stream/tls_trust.c \
	src/stream/tls_verify.c \
	src/tunnel/backoff.c \
	src/tunnel/activation.c \
	src/tunnel/bastion_dialer.c \
	src/tunnel/channel_request.c \
	src/tunnel/connector.c \
	src/tunnel/demotion.c \
	src/tunnel/dialer.c \
	src/tunnel/dns.c \
	src/tunnel/dns_network.c \
	src/tunnel/endpoints.c \
	src/tunnel/exchange.c \
	src/tunnel/generation.c \
	src/tunnel/headcount.c \
	src/tunnel/health.c \
	src/tunnel/hold.c \
	src/tunnel/hosts.c \
	src/tunnel/inbox.c \
	src/tunnel/inquiry.c \
	src/tunnel/listener.c \
	src/tunnel/log_id.c \
	src/tunnel/mover.c \
	src/tunnel/pooled_session.c \
	src/tunnel/refusal.c \
	src/tunnel/relay.c \
	src/tunnel/resolved.c \
	src/tunnel/resolver.c \
	src/tunnel/search.c \
	src/tunnel/session_pool.c \
	src/tunnel/session_set.c \
	src/tunnel/setup.c \
	src/tunnel/socket_setup.c \
	src/tunnel/spread.c \
	src/tunnel/stats.c \
	src/tunnel/stay.c \
	src/tunnel/tunnel.c \
	src/tunnel/tunnel_end.c \
	src/tunnel/tunnel_log.c \
	src/tunnel/tunnel_view.c \
	src/tunnel/tunnels.c \
	src/tunnel/unix_socket.c \
	src/tunnel/warm.c \
	src/tunnel/watch.c \
	src/tunnel/whereabouts.c \
	src/tunnel/worker.c \
	src/wake.c \
	src/arguments.c \
	src/daemon.c \
	src/drain.c \
	src/loader.c \
	src/log_options.c \
	src/process.c \
	src/reach.c \
	src/reload.c \
	src/serving.c \
	src/signals.c \
	src/watchdog.c

# sd-daemon where it is installed; the daemon is the same without it, only nobody is told.
ifeq ($(HAS_SYSTEMD),yes)
SOURCES += src/notify_systemd.c
LIBRARY_CFLAGS += $(shell $(PKG_CONFIG) --cflags libsystemd) \
	-DCACHETUNNEL_SYSTEMD_VERSION='"$(shell $(PKG_CONFIG) --modversion libsystemd)"'
LIBRARY_LIBS += $(shell $(PKG_CONFIG) --libs libsystemd)
else
SOURCES += src/notify_none.c
endif

# OpenSSL's blocks are taken again where the system tells their size. Sanitizers watch malloc().
SOURCES += src/stream/tls_memory_$(if $(SAN),system,$(if $(filter \
	Linux,$(shell uname -s)),shelves,system)).c

# Landlock is raw system calls, the filter is libseccomp's. Sanitizers write and run what neither
# would allow.
HAS_SANDBOX := $(if $(SAN),,$(filter Linux,$(shell uname -s)))
ifeq ($(HAS_SANDBOX),)
SOURCES += src/confine_none.c src/syscall_filter_none.c
else ifneq ($(HAS_SECCOMP),yes)
SOURCES += src/confine_linux.c src/syscall_filter_none.c
else
SOURCES += src/confine_linux.c src/syscall_filter_seccomp.c
LIBRARY_CFLAGS += $(shell $(PKG_CONFIG) --cflags libseccomp) \
	-DCACHETUNNEL_SECCOMP_VERSION='"$(shell $(PKG_CONFIG) --modversion libseccomp)"'
LIBRARY_LIBS += $(shell $(PKG_CONFIG) --libs libseccomp)
endif

UNIT_TESTS := $(sort $(wildcard tests/unit/test_*.c) \
	$(if $(HAS_SANDBOX),$(wildcard tests/unit/sandbox/test_*.c)))
UNIT_SUPPORT := $(sort $(filter-out $(UNIT_TESTS),$(wildcard tests/unit/*.c)))
FUZZERS := $(sort $(wildcard tests/fuzz/fuzz_*.c))

# --- Flags -----------------------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wpointer-arith -Wwrite-strings \
	-Wvla -Wformat=2 -Wundef -Wswitch-enum -Wno-missing-field-initializers
HARDENING := -fstack-protector-strong -fPIE
ifeq ($(SAN),)
HARDENING += $(if $(findstring -O0,$(CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ifeq ($(shell uname -s),Linux)
HARDENING_LINK := -pie -Wl,-z,relro,-z,now
endif
endif

ALL_CPPFLAGS := -Iinclude -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_DARWIN_C_SOURCE \
	-DCACHETUNNEL_VERSION='"$(VERSION)"' -DCACHETUNNEL_SYSCONFDIR='"$(SYSCONFDIR)"' \
	-DCACHETUNNEL_INIH_VERSION='"$(shell $(PKG_CONFIG) --modversion inih 2>/dev/null)"' \
	$(LIBRARY_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS := -std=c11 $(WARNINGS) $(if $(WERROR),-Werror) -pthread $(HARDENING) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all) $(CFLAGS)
ALL_LDFLAGS := -pthread $(HARDENING_LINK) $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)

Q := $(if $(V),,@)
# With -s, only what is wrong is told.
IS_SILENT := $(findstring s,$(firstword -$(MAKEFLAGS)))
say = $(if $(V)$(IS_SILENT),,@printf '  %-7s %s\n' '$(1)' '$(2)')

OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/src/control/page_html.o
LIBRARY := $(BUILD)/libcachetunnel.a
UNIT_BINARIES := $(UNIT_TESTS:tests/unit/%.c=$(BUILD)/tests/%)

.PHONY: all bench check-counts bench-docs bench-bastion bench-failover check check-unit check-integration check-fuzz lint format install uninstall clean \
	print-flags print-libraries
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/cachetunnel

$(BUILD)/cachetunnel: $(BUILD)/src/main.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBRARY_LIBS)

$(LIBRARY): $(OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Everything depends on the flags, so that changing one rebuilds what it must: not -Werror, which
# changes no object. FORCE is phony, because files in between (see .SECONDARY) may be missing.
FLAGS_USED := $(filter-out -Werror,$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(OBJECTS))
$(BUILD)/flags: FORCE
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_USED))' >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
.PHONY: FORCE
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The page for people becomes bytes of the program.
$(BUILD)/src/control/page_html.c: src/control/page.html $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,EMBED,$<)
	$(Q)scripts/embed page_html $< > $@

$(BUILD)/src/control/page_html.o: $(BUILD)/src/control/page_html.c
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# --- Tests -----------------------------------------------------------------------------------
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(UNIT_SUPPORT:%.c=$(BUILD)/%.o) $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBRARY_LIBS) $(shell $(PKG_CONFIG) --libs cmocka)

check: check-unit check-integration

check-unit: $(UNIT_BINARIES)
	$(call require,cmocka)
	@scripts/run-unit-tests $(UNIT_BINARIES)

check-integration: all
	@scripts/run-integration-tests $(BUILD)/cachetunnel $(PYTEST_ARGUMENTS)

# libFuzzer comes with clang only. FUZZ_SECONDS is the time for each fuzzer.
FUZZ_SECONDS ?= 5
check-fuzz:
	@scripts/run-fuzzers $(FUZZ_SECONDS) $(FUZZERS)

# --- Benchmark -------------------------------------------------------------------------------
# QUICK=1: under three minutes. BENCH_ARGUMENTS='--only get-50 --rounds 5': see bench/README.md.
$(BUILD)/bench/load: bench/load.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< $(LIBRARY_LIBS)

bench: all $(BUILD)/bench/load
	@scripts/install-dependencies bench
	@CACHETUNNEL_BINARY=$(BUILD)/cachetunnel BENCH_LOAD=$(BUILD)/bench/load \
		python3 -m bench $(if $(QUICK),--quick) $(BENCH_ARGUMENTS)

bench-failover: all
	@scripts/install-dependencies test
	@CACHETUNNEL_BINARY=$(BUILD)/cachetunnel $$(scripts/find-python redis cryptography) \
		bench/failover $(BENCH_ARGUMENTS)

bench-bastion: all
	@scripts/install-dependencies bench bastion
	@bench/bastion $(BENCH_ARGUMENTS)

# What is done for a request and a connection, held to bench/counts.json.
check-counts: all
	@CACHETUNNEL_BINARY=$(BUILD)/cachetunnel python3 -m bench.counts

# Tables and pictures of what `make bench` has measured, into docs/.
bench-docs:
	@python3 -m bench.publish

# --- Upkeep ----------------------------------------------------------------------------------
lint:
	@scripts/lint

# For tools that compile on their own; quoted for a shell's eval.
print-flags:
	@printf '%s\n' '$(subst ','\'',-std=c11 -pthread $(ALL_CPPFLAGS))'

print-libraries:
	@printf '%s\n' '$(LIBRARY_LIBS)'

format:
	clang-format -i $(shell find include src tests bench -name '*.[ch]')

# --- Installation ----------------------------------------------------------------------------
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8 \
		$(DESTDIR)$(SYSCONFDIR)/cachetunnel $(DESTDIR)$(UNITDIR)
	install -m 755 $(BUILD)/cachetunnel $(DESTDIR)$(PREFIX)/bin/cachetunnel
	install -m 644 man/cachetunnel.8 $(DESTDIR)$(MANDIR)/man8/cachetunnel.8
	install -m 644 man/cachetunnel.conf.5 $(DESTDIR)$(MANDIR)/man5/cachetunnel.conf.5
	install -m 644 conf/cachetunnel.conf \
		$(DESTDIR)$(SYSCONFDIR)/cachetunnel/cachetunnel.conf.sample
	sed 's|/usr/bin/cachetunnel|$(PREFIX)/bin/cachetunnel|' systemd/cachetunnel.service \
		> $(DESTDIR)$(UNITDIR)/cachetunnel.service
	install -m 644 systemd/cachetunnel.socket $(DESTDIR)$(UNITDIR)/cachetunnel.socket

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/cachetunnel $(DESTDIR)$(MANDIR)/man8/cachetunnel.8 \
		$(DESTDIR)$(MANDIR)/man5/cachetunnel.conf.5 \
		$(DESTDIR)$(SYSCONFDIR)/cachetunnel/cachetunnel.conf.sample \
		$(DESTDIR)$(UNITDIR)/cachetunnel.service $(DESTDIR)$(UNITDIR)/cachetunnel.socket

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
