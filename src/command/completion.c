/* SPDX-License-Identifier: MIT */
/* portunus completion: what makes a shell complete our words, made from the table of commands and their options. */
#include <string.h>

#include "command.h"
#include "output.h"

typedef void (*option_printer)(const struct argp_option *option);

static bool is_hidden(const struct argp_option *o)
{
	return !o->name || o->flags & (OPTION_HIDDEN | OPTION_DOC);
}

static void each_option(const struct argp *argp, option_printer print)
{
	for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
		if (!is_hidden(o))
			print(o);
	for (const struct argp_child *child = argp->children; child && child->argp; child++)
		each_option(child->argp, print);
}

static bool takes_word(const struct argp_option *o)
{
	return o->arg && !(o->flags & OPTION_ARG_OPTIONAL);
}

/* ---- bash */

static void bash_option(const struct argp_option *o)
{
	output_text(" --%s%s", o->name, takes_word(o) ? "=" : "");
}

static const char *bash_operand(enum operand operand)
{
	static const char *const words[] = {
		[OPERAND_NONE] = "",
		[OPERAND_NAME] = "$(_portunus_names)",
		[OPERAND_PID] = "$(_portunus_pids)",
		[OPERAND_PROGRAM] = "$(compgen -c -- \"$word\")",
		[OPERAND_SHELL] = "bash zsh",
		[OPERAND_CALL] = "$(_portunus_names)",
	};

	return words[operand];
}

/* Both shells ask the command itself, but never start a broker to do so. */
static const char helpers[] = "_portunus_names() {\n"
			      "\tPORTUNUS_AUTOSTART=0 portunus names --json 2>/dev/null |\n"
			      "\t\tsed -n 's/.*\"name\": *\"\\([^\"\\\\]*\\)\".*/\\1/p'\n"
			      "}\n"
			      "_portunus_pids() {\n"
			      "\tPORTUNUS_AUTOSTART=0 portunus ps --json 2>/dev/null |\n"
			      "\t\tsed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'\n"
			      "}\n";

static void print_bash(void)
{
	output_text("# bash completion of portunus(1); made by \"portunus completion bash\"\n%s", helpers);
	output_text("_portunus() {\n"
		    "\tlocal word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options= operands=\n"
		    "\tCOMPREPLY=()\n"
		    "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		    "\t\tmapfile -t COMPREPLY < <(compgen -W '");
	for (const struct command *const *c = commands; *c; c++)
		output_text("%s ", (*c)->name);
	output_text("--help --version' -- \"$word\")\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tcase $command in\n");
	for (const struct command *const *c = commands; *c; c++) {
		output_text("\t%s)\n\t\toptions='", (*c)->name);
		each_option((*c)->argp, bash_option);
		output_text(" --help'\n\t\t[[ $word = -* ]] || operands=\"%s\"\n\t\t;;\n", bash_operand((*c)->operand));
	}
	output_text("\tesac\n"
		    "\tif [[ $word = -* ]]; then\n"
		    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
		    "\t\t[[ ${COMPREPLY[0]} = *= ]] && compopt -o nospace\n"
		    "\telse\n"
		    "\t\tmapfile -t COMPREPLY < <(compgen -W \"$operands\" -- \"$word\")\n"
		    "\tfi\n"
		    "}\n"
		    "complete -o default -F _portunus portunus\n");
}

/* ---- zsh */

/* @text inside of '...[...]' of _arguments. */
static void zsh_quoted(const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			output_text("'\\''");
		else if (strchr("[]:\\", *text))
			output_text("\\%c", *text);
		else
			output_text("%c", *text);
}

static void zsh_option(const struct argp_option *o)
{
	output_text("\t\t\t'*--%s%s[", o->name, takes_word(o) ? "=" : "");
	zsh_quoted(o->doc ? o->doc : "");
	output_text("]");
	if (takes_word(o)) {
		output_text(":");
		zsh_quoted(o->arg);
		output_text(":_files");
	}
	output_text("' \\\n");
}

static const char *zsh_operand(enum operand operand)
{
	static const char *const actions[] = {
		[OPERAND_NONE] = "",
		[OPERAND_NAME] = "'1:name:($(_portunus_names))' '*: :_files'",
		[OPERAND_PID] = "'*:pid:($(_portunus_pids))'",
		[OPERAND_PROGRAM] = "'(-)1:command:_command_names -e' '*::arguments:_normal'",
		[OPERAND_SHELL] = "'1:shell:(bash zsh)'",
		[OPERAND_CALL] = "'1:name:($(_portunus_names))' '2:interface:_files -g \"*.defs\"' '*: :'",
	};

	return actions[operand];
}

static void print_zsh(void)
{
	output_text("#compdef portunus\n# zsh completion of portunus(1); made by \"portunus completion zsh\"\n%s",
		    helpers);
	output_text("_portunus() {\n"
		    "\tlocal -a commands\n"
		    "\tcommands=(\n");
	for (const struct command *const *c = commands; *c; c++) {
		output_text("\t\t'%s:", (*c)->name);
		zsh_quoted((*c)->summary);
		output_text("'\n");
	}
	output_text("\t)\n"
		    "\tif ((CURRENT == 2)); then\n"
		    "\t\t_describe command commands\n"
		    "\t\t_arguments '--help[Say so]' '--version[Say which]'\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tshift words\n"
		    "\t((CURRENT--))\n"
		    "\tcase $words[1] in\n");
	for (const struct command *const *c = commands; *c; c++) {
		output_text("\t%s)\n\t\t_arguments \\\n", (*c)->name);
		each_option((*c)->argp, zsh_option);
		output_text("\t\t\t'--help[Say so]' %s\n\t\t;;\n", zsh_operand((*c)->operand));
	}
	output_text("\tesac\n"
		    "}\n"
		    "_portunus \"$@\"\n");
}

/* ---- the command */

static error_t parse(int key, char *word, struct argp_state *state)
{
	const char **shell = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			return ARGP_ERR_UNKNOWN;
		*shell = word;
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(STATUS_USAGE, "for which shell? portunus completion bash, or zsh");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.parser = parse,
	.args_doc = "bash|zsh",
	.doc = "Print what makes a shell complete the words of portunus."
	       "\vIt is installed along with portunus where both shells look. To try it: source <(portunus completion bash)",
};

static int run(int argc, char **argv)
{
	const char *shell = "";

	command_parse(&argp, argc, argv, 0, &shell);
	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else
		fail(STATUS_USAGE, "there is no completion for \"%s\"; there is one for bash, and one for zsh", shell);
	return STATUS_OK;
}

const struct command completion_command = {
	.name = "completion",
	.summary = "print what makes a shell complete these words",
	.argp = &argp,
	.operand = OPERAND_SHELL,
	.run = run,
};
