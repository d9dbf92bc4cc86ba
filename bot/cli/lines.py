"""What people read of each answer, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from bot.cli import show
from bot.web.operation import Answer

STOPPED = "Stopped; the same command goes on where it stopped."
LEFT = "The bot goes on with it; the same command follows it again."


def held(answer: Answer) -> Iterable[str]:
    yield (
        f"@{answer['handle']}: {answer['downloaded']:,} downloaded = {answer['retweets']:,} retweets "
        f"+ {answer['short']:,} short + {answer['kept']:,} kept; {answer['new']:,} new"
        f"{' (dry run: nothing was held)' if answer['dry_run'] else ''}"
    )


def trained(answer: Answer) -> Iterable[str]:
    yield f"{answer['persona']}: run {answer['run']} took {answer['train_seconds']:.0f} s; {show.gain(answer)}"
    if answer["promoted"]:
        yield f"Now try: mockingbird imitate {answer['persona']}"
    else:
        yield "It predicts the held-out tweets no better than the base, so it was not promoted."


def imitation(answer: Answer) -> Iterable[str]:
    for candidate in answer["candidates"]:
        if candidate["verdict"] == "accepted":
            yield show.item(candidate["text"])
        else:
            yield f"  x (refused: {', '.join(candidate['reasons'])})"


def personas(answer: Answer) -> Iterable[str]:
    if not answer["personas"]:
        show.note("No personas yet: import somebody's tweets, then train.")
    for persona in answer["personas"]:
        yield f"{persona['slug']}  {'run ' + str(persona['run_id']) if persona['run_id'] else 'no checkpoint yet'}"


def schedule_added(answer: Answer) -> Iterable[str]:
    yield f"Schedule {answer['schedule']}: {answer['persona']}, {answer['rule']}. Its next times:"
    yield from coming(answer)


def schedule_previewed(answer: Answer) -> Iterable[str]:
    yield f"{answer['persona']}, {answer['rule']}, would come at these times (nothing was stored):"
    yield from coming(answer)


def coming(answer: Answer) -> Iterable[str]:
    for moment in answer["next"]:
        silent = "" if moment["speaks"] else "  (chance will say no)"
        yield f"  {show.moment(moment['due'], answer['zone'])}{silent}"


def schedules(answer: Answer) -> Iterable[str]:
    if not answer["schedules"]:
        show.note("No schedules yet: `mockingbird schedule add --help` says how to make one.")
    for found in answer["schedules"]:
        following = "never again" if found["next"] is None else show.moment(found["next"], found["zone"])
        when = "paused" if found["paused"] else following
        yield f"{found['schedule']}  {found['persona']}  {found['rule']}{conditions(found)}  {when}"


def conditions(of: Answer) -> str:
    """What else a schedule asks for, in words."""
    said = [
        f"quiet {of['quiet']}" if of["quiet"] else "",
        f"up to {of['jitter_seconds']} s later" if of["jitter_seconds"] else "",
        f"at most {of['late_seconds']} s late" if of["late_seconds"] else "",
        f"chance {of['chance']:g}" if of["chance"] < 1 else "",
        f"approval {of['approval']}" if of["approval"] != "off" else "",
        f"to {of['platform']}/{of['account']}" if (of["platform"], of["account"]) != ("local", "feed") else "",
    ]
    named = ", ".join(filter(None, said))
    return f" ({named})" if named else ""


def schedule(answer: Answer) -> Iterable[str]:
    paused = ", paused" if answer["paused"] else ""
    yield f"Schedule {answer['schedule']}: {answer['persona']}, {answer['rule']}{conditions(answer)}{paused}"
    if answer["prompt"]:
        yield f"  begins with: {answer['prompt']}"
    yield "Its next times:"
    yield from coming(answer)
    if answer["past"]:
        yield "What became of the last ones:"
    for past in answer["past"]:
        reason = f" ({past['reason']})" if past["reason"] else ""
        post = f"  post {past['post']['post']} is {past['post']['state']}" if past["post"] else ""
        yield f"  {show.moment(past['due'], answer['zone'])}  {past['state']}{reason}{post}"


def schedule_changed(answer: Answer) -> Iterable[str]:
    yield f"Schedule {answer['schedule']} is {answer['state']}."


def reloaded(answer: Answer) -> Iterable[str]:
    if not answer["applied"] and not answer["needs_restart"]:
        yield "Nothing has changed."
    if answer["applied"]:
        yield f"From now on: {', '.join(answer['applied'])}."
    if answer["needs_restart"]:
        yield f"Only after a restart: {', '.join(answer['needs_restart'])}."


def posts(answer: Answer) -> Iterable[str]:
    if not answer["posts"]:
        show.note("There are none.")
    for found in answer["posts"]:
        yield from post(found)


def post(found: Answer) -> Iterable[str]:
    who = found["persona"] or "mockingbird"
    yield f"{found['post']}  {found['state']}  {found['platform']}/{found['account']}  {who}  due {found['due']}"
    yield "    " + found["text"].replace("\n", "\n    ")
    if found["error"]:
        yield f"    ({found['error']})"
    if found["state"] == "draft":
        yield f"    approve, edit, replace or drop it until {found['expires']}"


def explanation(answer: Answer) -> Iterable[str]:
    yield f"{answer['id']}  {answer['state']}  {answer['platform']}/{answer['account']}"
    yield "    " + answer["text"].replace("\n", "\n    ")
    yield f"Because of {answer['cause_key']}:"
    for name, value in answer["cause"].items():
        yield f"  {name}: {value}"
    if answer["parent"]:
        yield f"It follows {answer['parent']['id']}, which is {answer['parent']['state']}."
    for child in answer["children"]:
        yield f"{child['id']}, which is {child['state']}, follows it."
    yield "What happened:"
    for step in answer["log"]:
        detail = f"  {step['detail']}" if step["detail"] else ""
        yield f"  {show.instant(step['at'])}  {step['state']}{detail}"
    for used in answer["ledger"]:
        price = f" for ${used['micros'] / 1e6:.3f}" if used["micros"] else ""
        yield f"  {show.instant(used['at'])}  {used['count']} {used['kind']}{price}"
    if answer["remote_id"]:
        yield f"It stands on {answer['platform']} as {answer['remote_id']}."


def requests(answer: Answer) -> Iterable[str]:
    if not answer["requests"]:
        show.note("Nobody waits for anything.")
    for found in answer["requests"]:
        eta = "" if found["eta_seconds"] is None else f", about {found['eta_seconds']:.0f} s"
        place = found["state"] if found["state"] == "running" else f"{found['ahead']} ahead"
        yield f"{found['request']}  {found['kind']} {wanted(found['asked'])} for {found['person']}: {place}{eta}"


def wanted(asked: Answer) -> str:
    return str(asked.get("persona") or " + ".join(asked.get("handles", ())))


def request(answer: Answer) -> Iterable[str]:
    yield f"Request {answer['request']} ({answer['kind']} {wanted(answer['asked'])}) is {answer['state']}."
    if answer.get("error"):
        yield f"  {answer['error']}"
    if answer.get("answer"):
        yield from (imitation if answer["kind"] == "imitate" else trained)(answer["answer"])


def phrases(answer: Answer) -> Iterable[str]:
    if not answer["phrases"]:
        show.note("No phrases are banned besides the built-in list and your block_list.")
    yield from answer["phrases"]


def banned(answer: Answer) -> Iterable[str]:
    yield f'"{answer["phrase"]}" is banned.'
    if answer["cancelled"]:
        yield f"Cancelled for it: {', '.join(answer['cancelled'])}."


def unbanned(answer: Answer) -> Iterable[str]:
    yield f'"{answer["phrase"]}" is allowed again.'


def mutes(answer: Answer) -> Iterable[str]:
    if not answer["mutes"]:
        show.note("Nobody is muted.")
    for found in answer["mutes"]:
        yield f"{found['scope']}  until {found['until']}"


def muted(answer: Answer) -> Iterable[str]:
    yield f"{answer['scope']} is muted until {answer['until']}."


def unmuted(answer: Answer) -> Iterable[str]:
    yield f"{answer['scope']} is muted no more."


def accounts(answer: Answer) -> Iterable[str]:
    if not answer["accounts"]:
        show.note("No account has said anything yet.")
    for found in answer["accounts"]:
        used = ", ".join(f"{name} {value}" for name, value in found["used"].items())
        paused = f"  paused: {found['reason']}" if found["paused"] else ""
        yield f"{found['platform']}/{found['account']}  {used}{paused}"


def account(answer: Answer) -> Iterable[str]:
    yield f"{answer['platform']}/{answer['account']} is {answer['state']}."


def feed(answer: Answer) -> Iterable[str]:
    if not answer["entries"]:
        show.note("Nothing was posted yet.")
    for found in reversed(answer["entries"]):
        yield f"{found['at']}  @{found['author']}  " + found["text"].replace("\n", "\n    ")
