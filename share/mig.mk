# What a Makefile needs to use MIG interfaces with Portunus (GNU make 4.3 or later):
#
#   DEFS = calc.defs
#   include $(shell pkg-config --variable=mig_mk portunus)
#   calc: calc.o calc_user.o calc_server.o
#
# (make links by itself a program whose objects include one of its own name, here calc.o from your calc.c.)
# Each NAME.defs of $(DEFS) gives NAME.h, NAME_user.c, NAME_server.h and NAME_server.c; see portunus-mig(1).
# $(PORTUNUS_MIGFLAGS) is passed to portunus-mig: -I and -D for files that .defs include.

# The rules below must not become what a bare "make" makes.
portunus_goal := $(.DEFAULT_GOAL)

PORTUNUS_MIG_COMMAND := $(shell pkg-config --variable=mig portunus)

CPPFLAGS += -I. $(shell pkg-config --cflags portunus)
LDLIBS += $(shell pkg-config --libs portunus)

portunus_stubs := $(foreach defs,$(DEFS:.defs=),$(defs).h $(defs)_user.c $(defs)_server.h $(defs)_server.c)

# One run makes all four. Only the files of $(DEFS): no rule of yours is overridden.
define portunus_defs_rule
$(1:.defs=.h) $(1:.defs=_user.c) $(1:.defs=_server.h) $(1:.defs=_server.c) &: $(1)
	$$(PORTUNUS_MIG_COMMAND) $$(PORTUNUS_MIGFLAGS) -o $$(dir $(1)) $(1)
endef
$(foreach defs,$(DEFS),$(eval $(call portunus_defs_rule,$(defs))))

# The stubs' headers come before whatever includes them is compiled. These are make's own rules but for that.
%.o: %.c | $(filter %.h,$(portunus_stubs))
	$(COMPILE.c) $(OUTPUT_OPTION) $<
%.o: %.cc | $(filter %.h,$(portunus_stubs))
	$(COMPILE.cc) $(OUTPUT_OPTION) $<
%.o: %.cpp | $(filter %.h,$(portunus_stubs))
	$(COMPILE.cpp) $(OUTPUT_OPTION) $<

.DEFAULT_GOAL := $(portunus_goal)
