/* SPDX-License-Identifier: MIT */
/* portunus graph: who holds rights to whom, as text for Graphviz, or drawn by it.
 *
 * The layout: the task with the most relations, the hub, is in the middle, the others are to its left, or where there are many,
 * half of them to its right; ports are between who may send and who receives. The hub is as high as is needed for each arrow to
 * have a place of its own at its sides, in the order of the tasks there. So arrows do not cross where all talk to one. What
 * all processes of one program hold alike is one arrow, from the frame around them. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "output.h"
#include "relations.h"

enum { LEFT = -1, MIDDLE = 0, RIGHT = 1 };
enum { MANY = 8, ALIKE = 3 }; /* tasks for both sides; members that make a group */

struct arguments {
	const char *svg;
	bool all;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct arguments *a = state->input;

	switch (key) {
	case 's':
		a->svg = value;
		return 0;
	case 'a':
		a->all = true;
		return 0;
	case ARGP_KEY_ARG:
		fail(STATUS_USAGE, "\"%s\": graph takes no arguments; it shows all processes", value);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "svg", 's', "FILE", 0, "Draw a picture into FILE, by Graphviz' dot", 0 },
	{ "all", 'a', NULL, 0, "The broker, too", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Show who holds rights to whom: text for Graphviz, or a picture."
	       "\vBoxes are tasks, circles are ports, filled as their queues are. A thick arrow leads from a port to who receives; "
	       "a thin one from who may send to the port; a dashed one from who may send once. Ports that only their receiver "
	       "knows are counted in its box.",
};

/* ---- the picture */

struct picture {
	struct relations *r;
	FILE *out;
	int *side;  /* of each box */
	int *group; /* of each box; -1: none */
	int n_groups;
	size_t *first;	/* of each group: a box in it */
	unsigned *size; /* of each group */
	size_t hub;
	int *berth; /* of each circle: at which side of the hub its arrow ends; MIDDLE: at none, or on top */
};

static const char *program_of(const struct box *box)
{
	return view_program(box->node);
}

static size_t find_hub(const struct relations *r)
{
	size_t hub = 0;

	for (size_t i = 1; i < r->n_boxes; i++)
		if (r->boxes[i].n_relations > r->boxes[hub].n_relations)
			hub = i;
	return hub;
}

static void place_boxes(struct picture *p)
{
	size_t n = p->r->n_boxes, seen = 0;

	p->hub = find_hub(p->r);
	for (size_t i = 0; i < n; i++)
		p->side[i] = i == p->hub ? MIDDLE : n <= MANY || seen++ < n / 2 ? LEFT : RIGHT;
}

/* Tasks of one program on one side. */
static void group_boxes(struct picture *p)
{
	const struct relations *r = p->r;

	for (size_t i = 0; i < r->n_boxes; i++) {
		int g = 0;

		p->group[i] = -1;
		if (p->side[i] == MIDDLE)
			continue;
		while (g < p->n_groups && (p->side[p->first[g]] != p->side[i] ||
					   strcmp(program_of(&r->boxes[p->first[g]]), program_of(&r->boxes[i])) != 0))
			g++;
		if (g == p->n_groups)
			p->first[p->n_groups++] = i;
		p->group[i] = g;
		p->size[g]++;
	}
	for (size_t i = 0; i < r->n_boxes; i++)
		if (p->group[i] >= 0 && p->size[p->group[i]] < ALIKE)
			p->group[i] = -1;
}

/* How many members of a group hold that right. */
static unsigned count_members(const struct picture *p, int group, const struct arrow *like)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->r->n_arrows; i++) {
		const struct arrow *a = &p->r->arrows[i];

		n += a->to == like->to && a->kind == like->kind && p->group[a->from] == group;
	}
	return n;
}

static bool is_of_whole_group(const struct picture *p, const struct arrow *a)
{
	int group = p->group[a->from];

	return group >= 0 && count_members(p, group, a) == p->size[group];
}

/* ---- words */

static void put_text(FILE *out, const char *text)
{
	char *shown = printable(text, strlen(text));

	for (const char *c = shown; *c; c++) {
		if (*c == '&')
			fputs("&amp;", out);
		else if (*c == '<')
			fputs("&lt;", out);
		else if (*c == '>')
			fputs("&gt;", out);
		else if (*c == '"')
			fputs("&quot;", out);
		else
			fputc(*c, out);
	}
	free(shown);
}

static void put_name(const struct picture *p, const struct box *box, const char *then)
{
	fputs("<b>", p->out);
	put_text(p->out, program_of(box));
	fprintf(p->out, "</b>%s<font color=\"#666666\">%u", then, box->node->who.pid);
	if (box->node->n_tasks > 1)
		fprintf(p->out, " task %llu", (unsigned long long)box->task);
}

static void put_box(const struct picture *p, size_t i)
{
	const struct box *box = &p->r->boxes[i];

	fprintf(p->out, "\tt%zu [label=<", i);
	put_name(p, box, " ");
	fprintf(p->out, "</font>>, tooltip=\"pid %u, %u ports of its own\"];\n", box->node->who.pid, box->n_private);
}

/* The part of a circle that its queue fills. */
static void put_fill(const struct picture *p, const struct circle *circle)
{
	double part = circle->qlimit ? (double)circle->n_queued / circle->qlimit : 0;

	if (part >= 1)
		fputs(", style=filled, fillcolor=\"#d9480f\"", p->out);
	else if (part > 0)
		fprintf(p->out, ", style=wedged, fillcolor=\"#d9480f;%.3f:white\"", part);
}

static void put_circle(const struct picture *p, size_t i)
{
	const struct circle *circle = &p->r->circles[i];

	if (!circle->is_shown)
		return;
	fprintf(p->out, "\tp%zu [shape=circle, tooltip=\"queue %u of %u\", label=<", i, circle->n_queued,
		circle->qlimit);
	if (circle->name) {
		fputs("<b>", p->out);
		put_text(p->out, circle->name);
		fputs("</b>", p->out);
	}
	if (circle->n_queued)
		fprintf(p->out, "%s%u/%u", circle->name ? "<br/>" : "", circle->n_queued, circle->qlimit);
	fprintf(p->out, ">%s",
		circle->name	   ? ", margin=0.03"
		: circle->n_queued ? ", height=0.2, width=0.2, fontsize=8, margin=0"
				   : ", height=0.2, width=0.2");
	put_fill(p, circle);
	fputs("];\n", p->out);
}

/* ---- arrows */

/* Where a port is received and from where it is sent to decide on which way its arrows point in the layout: from left to
 * right, whichever way they point in the picture. */
static bool is_reversed(const struct picture *p, size_t box, const struct circle *circle)
{
	return p->side[box] > p->side[circle->receiver];
}

static bool is_from_both_sides(const struct picture *p, size_t circle)
{
	bool forward = false, back = false;

	for (size_t i = 0; i < p->r->n_arrows; i++) {
		const struct arrow *a = &p->r->arrows[i];

		if (a->to != circle)
			continue;
		if (is_reversed(p, a->from, &p->r->circles[circle]))
			back = true;
		else
			forward = true;
	}
	return forward && back;
}

static bool has_reversed(const struct picture *p, size_t circle)
{
	for (size_t i = 0; i < p->r->n_arrows; i++)
		if (p->r->arrows[i].to == circle && is_reversed(p, p->r->arrows[i].from, &p->r->circles[circle]))
			return true;
	return false;
}

/* ---- the hub */

static bool is_held_by(const struct picture *p, size_t circle, size_t box)
{
	for (size_t i = 0; i < p->r->n_arrows; i++)
		if (p->r->arrows[i].to == circle && p->r->arrows[i].from == box)
			return true;
	return false;
}

static int berth_of(const struct picture *p, size_t i)
{
	const struct circle *circle = &p->r->circles[i];

	if (!circle->is_shown)
		return MIDDLE;
	if (circle->receiver != p->hub)
		return is_held_by(p, i, p->hub) ? p->side[circle->receiver] : MIDDLE;
	if (is_from_both_sides(p, i))
		return MIDDLE;
	return has_reversed(p, i) ? RIGHT : LEFT;
}

/* A place at a side of the hub. They are in the order of the tasks there; what a whole group holds comes first. Of what a task shares
 * with the hub first come the ports that it receives from. */
struct berth {
	size_t circle, task;
	bool is_of_hub;
};

static struct berth berth_new(const struct picture *p, size_t i)
{
	struct berth b = { i, p->r->circles[i].receiver, p->r->circles[i].receiver == p->hub };

	if (!b.is_of_hub)
		return b;
	b.task = SIZE_MAX;
	for (size_t at = 0; at < p->r->n_arrows; at++) {
		const struct arrow *a = &p->r->arrows[at];

		if (a->to == i && a->from != p->hub)
			b.task = is_of_whole_group(p, a) ? 0 : a->from < b.task ? a->from : b.task;
	}
	return b;
}

static int compare_berths(const void *a, const void *b)
{
	const struct berth *x = a, *y = b;

	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	if (x->is_of_hub != y->is_of_hub)
		return x->is_of_hub - y->is_of_hub;
	return x->circle < y->circle ? -1 : x->circle > y->circle;
}

static size_t list_berths(const struct picture *p, int side, struct berth *list)
{
	size_t n = 0;

	for (size_t i = 0; i < p->r->n_circles; i++)
		if (p->berth[i] == side)
			list[n++] = berth_new(p, i);
	qsort(list, n, sizeof *list, compare_berths);
	return n;
}

static void put_berth(const struct picture *p, const struct berth *list, size_t n, size_t at)
{
	fputs("<td width=\"8\" height=\"20\"", p->out);
	if (at < n)
		fprintf(p->out, " port=\"p%zu\"", list[at].circle);
	fputs("></td>", p->out);
}

/* The empty row on top leaves room for the arrow from a port that stands there. */
static void put_hub(const struct picture *p)
{
	const struct box *box = &p->r->boxes[p->hub];
	struct berth *left = must_alloc((p->r->n_circles + 1) * sizeof *left),
		     *right = must_alloc((p->r->n_circles + 1) * sizeof *right);
	size_t n_left = list_berths(p, LEFT, left), n_right = list_berths(p, RIGHT, right);
	size_t n = n_left > n_right ? n_left : n_right;

	n = n < 3 ? 3 : n;
	fprintf(p->out,
		"\tt%zu [shape=plain, style=\"\", fontsize=14, tooltip=\"pid %u, %u ports of its own\", label=<<table border=\"0\" "
		"cellspacing=\"0\" cellpadding=\"0\"><tr><td height=\"24\"></td></tr><tr><td port=\"top\"><table border=\"1\" "
		"cellborder=\"0\" cellspacing=\"0\" cellpadding=\"0\" style=\"rounded\" bgcolor=\"#eaf2fb\">\n",
		p->hub, box->node->who.pid, box->n_private);
	for (size_t i = 0; i < n; i++) {
		fputs("\t\t<tr>", p->out);
		put_berth(p, left, n_left, i);
		if (i == 0) {
			fprintf(p->out, "<td rowspan=\"%zu\" cellpadding=\"10\">", n);
			put_name(p, box, "<br/>");
			if (box->n_private)
				fprintf(p->out, "<br/>%u port%s of its own", box->n_private,
					box->n_private > 1 ? "s" : "");
			fputs("</font></td>", p->out);
		}
		put_berth(p, right, n_right, i);
		fputs("</tr>\n", p->out);
	}
	fputs("\t\t</table></td></tr></table>>];\n", p->out);
	free(left);
	free(right);
}

/* Where the arrow between a task and a port ends at the task. */
static const char *end_at(const struct picture *p, size_t box, size_t circle)
{
	static char text[64];

	if (box != p->hub)
		snprintf(text, sizeof text, "t%zu", box);
	else if (p->berth[circle] == MIDDLE)
		snprintf(text, sizeof text, "t%zu:top:n", box);
	else
		snprintf(text, sizeof text, "t%zu:p%zu:%c", box, circle, p->berth[circle] == LEFT ? 'w' : 'e');
	return text;
}

/* ---- arrows of each kind */

static void put_receive(const struct picture *p, size_t i)
{
	static const char look[] = "color=\"#1c5fb0\", penwidth=2.2, arrowsize=0.8";
	const struct circle *circle = &p->r->circles[i];
	const char *end = end_at(p, circle->receiver, i);

	if (!circle->is_shown)
		return;
	if (is_from_both_sides(p, i))
		fprintf(p->out, "\t{ rank=same; p%zu; t%zu }\n\tp%zu -> %s [%s];\n", i, circle->receiver, i, end, look);
	else if (has_reversed(p, i))
		fprintf(p->out, "\t%s -> p%zu [dir=back, %s];\n", end, i, look);
	else
		fprintf(p->out, "\tp%zu -> %s [%s];\n", i, end, look);
}

static void put_send(const struct picture *p, const struct arrow *a, bool is_whole_group)
{
	const char *look = a->kind == RIGHT_SEND ? "arrowhead=vee, arrowtail=vee"
						 : "style=dashed, arrowhead=empty, arrowtail=empty";
	bool reversed = is_reversed(p, a->from, &p->r->circles[a->to]);
	char from[64], extra[96] = "";

	if (is_whole_group) {
		snprintf(from, sizeof from, "g%d", p->group[a->from]);
		snprintf(extra, sizeof extra, ", %s=cluster%d, label=\"each\"", reversed ? "lhead" : "ltail",
			 p->group[a->from]);
	} else {
		snprintf(from, sizeof from, "%s", end_at(p, a->from, a->to));
	}
	if (reversed)
		fprintf(p->out, "\tp%zu -> %s [dir=back, %s%s];\n", a->to, from, look, extra);
	else
		fprintf(p->out, "\t%s -> p%zu [%s%s];\n", from, a->to, look, extra);
}

/* Of a group's, the first member's stands for all. */
static bool is_first_of_group(const struct picture *p, size_t at)
{
	const struct arrow *a = &p->r->arrows[at];

	for (size_t i = 0; i < at; i++)
		if (p->r->arrows[i].to == a->to && p->r->arrows[i].kind == a->kind &&
		    p->group[p->r->arrows[i].from] == p->group[a->from])
			return false;
	return true;
}

static void put_sends(const struct picture *p)
{
	for (size_t i = 0; i < p->r->n_arrows; i++) {
		const struct arrow *a = &p->r->arrows[i];

		if (!is_of_whole_group(p, a))
			put_send(p, a, false);
		else if (is_first_of_group(p, i))
			put_send(p, a, true);
	}
}

static void put_group(const struct picture *p, int g)
{
	if (p->size[g] < ALIKE)
		return;
	fprintf(p->out,
		"\tsubgraph cluster%d {\n\tstyle=\"rounded,filled\"; color=\"#dddddd\"; fillcolor=\"#f7f7f7\"; margin=10; label=\"\";\n"
		"\tg%d [shape=plain, label=<<font color=\"#666666\">%u × ",
		g, g, p->size[g]);
	put_text(p->out, program_of(&p->r->boxes[p->first[g]]));
	fputs("</font>>];\n", p->out);
	for (size_t i = 0; i < p->r->n_boxes; i++)
		if (p->group[i] == g)
			put_box(p, i);
	fputs("\t}\n", p->out);
}

static const char legend[] =
	"<<table border=\"0\" cellspacing=\"6\"><tr><td>▭ task</td><td>○ port</td><td><font color=\"#d9480f\">●</font> messages that wait</td>"
	"<td><font color=\"#1c5fb0\"><b>━▶</b></font> receives</td><td>─➤ may send</td><td>┄▷ may send once</td></tr></table>>";

/* All arrows are given heads by default: between a port and a hub that stand in one rank Graphviz would take another default for it. */
static void put_all(const struct picture *p)
{
	fprintf(p->out,
		"digraph portunus {\n"
		"\tgraph [rankdir=LR, compound=true, nodesep=0.09, ranksep=0.6, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11,\n"
		"\t\tlabelloc=b, label=%s];\n"
		"\tnode [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11, height=0.47,\n"
		"\t\tmargin=\"0.12,0.05\"];\n"
		"\tedge [arrowhead=normal, arrowtail=normal, dir=forward, color=\"#555555\", arrowsize=0.6, fontname=\"Helvetica,Arial,sans-serif\", fontsize=9, fontcolor=\"#555555\"];\n",
		legend);
	for (int g = 0; g < p->n_groups; g++)
		put_group(p, g);
	for (size_t i = 0; i < p->r->n_boxes; i++)
		if (i == p->hub)
			put_hub(p);
		else if (p->group[i] < 0)
			put_box(p, i);
	for (size_t i = 0; i < p->r->n_circles; i++)
		put_circle(p, i);
	put_sends(p);
	for (size_t i = 0; i < p->r->n_circles; i++)
		put_receive(p, i);
	fputs("}\n", p->out);
}

static void draw(struct relations *r, FILE *out)
{
	struct picture p = {
		.r = r,
		.out = out,
		.side = must_alloc((r->n_boxes + 1) * sizeof *p.side),
		.group = must_alloc((r->n_boxes + 1) * sizeof *p.group),
		.first = must_alloc((r->n_boxes + 1) * sizeof *p.first),
		.size = must_alloc((r->n_boxes + 1) * sizeof *p.size),
		.berth = must_alloc((r->n_circles + 1) * sizeof *p.berth),
	};

	place_boxes(&p);
	group_boxes(&p);
	for (size_t i = 0; i < r->n_circles; i++)
		p.berth[i] = berth_of(&p, i);
	put_all(&p);
	free(p.side);
	free(p.group);
	free(p.first);
	free(p.size);
	free(p.berth);
}

/* ---- where it goes */

static void __attribute__((noreturn)) no_dot(int error)
{
	if (error == ENOENT)
		fail(STATUS_FAILED,
		     "there is no program dot to draw with; install Graphviz (Debian: graphviz), or leave --svg away");
	fail(STATUS_FAILED, "dot: %s", strerror(error));
}

/* dot reads from a file that we have written to the end, so neither waits for the other. */
static void draw_svg(struct relations *r, const char *path)
{
	char *const words[] = { (char *)"dot", (char *)"-Tsvg", (char *)"-o", (char *)path, NULL };
	posix_spawn_file_actions_t actions;
	FILE *text = tmpfile();
	int status, error;
	pid_t pid;

	if (!text)
		fail(STATUS_FAILED, "a temporary file: %s", strerror(errno));
	draw(r, text);
	if (fflush(text) || fseek(text, 0, SEEK_SET))
		fail(STATUS_FAILED, "a temporary file: %s", strerror(errno));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fileno(text), STDIN_FILENO);
	error = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		no_dot(error);
	if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
		fail(STATUS_FAILED, "%s: dot could not write it; what it says is above", path);
	fclose(text);
}

static void draw_text(struct relations *r)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		fail(STATUS_FAILED, "no memory");
	draw(r, out);
	fclose(out);
	output_bytes(text, size);
	output_flush();
	free(text);
}

static void tell_what_is_missing(const struct view *view)
{
	for (size_t i = 0; i < view->n_nodes; i++)
		if (view->nodes[i].result && view->nodes[i].result != MIG_SERVER_DIED)
			warn("process %u is not shown: %s", view->nodes[i].who.pid, view_reason(view->nodes[i].result));
}

static int run(int argc, char **argv)
{
	struct arguments a = { 0 };
	struct relations *relations;
	struct name_view *names;
	struct view *view;
	size_t n_names;

	command_parse(&argp, argc, argv, 0, &a);
	view = view_new();
	names = view_registered(&n_names);
	relations = relations_read(view, names, n_names, a.all);
	tell_what_is_missing(view);
	if (a.svg)
		draw_svg(relations, a.svg);
	else
		draw_text(relations);
	return STATUS_OK;
}

const struct command graph_command = {
	.name = "graph",
	.summary = "show who holds rights to whom, as a picture",
	.argp = &argp,
	.operand = OPERAND_NONE,
	.run = run,
};
