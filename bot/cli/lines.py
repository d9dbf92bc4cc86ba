"""What people read of each answer, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from bot.cli import show
from bot.clock.spoken import duration, rule
from bot.web.operation import Answer

STOPPED = "Stopped; the same command goes on where it stopped."
LEFT = "The bot goes on with it; the same command follows it again, and `mockingbird queue cancel` ends it."
NO_BOT = "No bot is running on this data directory: `mockingbird run` does what waits."

USED = {
    "posts_per_hour": "{} posts in the last hour",
    "posts_per_day": "{} in the last day",
    "dollars_per_day": "${} in the last day",
    "reads_per_month": "{} reads in the last 31 days",
}


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
        shared = "  (shared with everybody)" if persona["shared"] else ""
        speaks = f"run {persona['run_id']}" if persona["run_id"] else "no checkpoint yet"
        yield f"{persona['name']}  {speaks}{shared}"


def schedule_added(answer: Answer) -> Iterable[str]:
    yield f"Schedule {answer['schedule']}: {answer['persona']}, {rule(answer['rule'])}. Its next times:"
    yield from coming(answer)


def schedule_previewed(answer: Answer) -> Iterable[str]:
    drawn = ", or at others like them, since they are drawn anew" if answer["drawn"] else ""
    yield f"{answer['persona']}, {rule(answer['rule'])}, would come at these times{drawn} (nothing was stored):"
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
        yield f"{found['schedule']}  {found['persona']}  {rule(found['rule'])}{conditions(found)}  {when}"


def conditions(of: Answer) -> str:
    """What else a schedule asks for, in words."""
    said = [
        f"quiet {of['quiet']}" if of["quiet"] else "",
        f"up to {duration(of['jitter_seconds'])} later" if of["jitter_seconds"] else "",
        f"at most {duration(of['late_seconds'])} late" if of["late_seconds"] else "",
        f"chance {of['chance']:g}" if of["chance"] < 1 else "",
        f"approval {of['approval']}" if of["approval"] != "off" else "",
        f"to {of['platform']}/{of['account']}" if (of["platform"], of["account"]) != ("local", "feed") else "",
        f'begins with "{of["prompt"]}"' if of["prompt"] else "",
    ]
    named = ", ".join(filter(None, said))
    return f" ({named})" if named else ""


def schedule(answer: Answer) -> Iterable[str]:
    paused = ", paused" if answer["paused"] else ""
    yield f"Schedule {answer['schedule']}: {answer['persona']}, {rule(answer['rule'])}{conditions(answer)}{paused}"
    yield "Its next times:"
    yield from coming(answer)
    if answer["past"]:
        yield "What became of the last ones:"
    for past in answer["past"]:
        became = f"post {past['post']['post']} is {past['post']['state']}" if past["post"] else past["state"]
        reason = f" ({past['reason']})" if past["reason"] else ""
        yield f"  {show.moment(past['due'], answer['zone'])}  {became}{reason}"


def schedule_changed(answer: Answer) -> Iterable[str]:
    yield f"Schedule {answer['schedule']} is {answer['state']}."
    if answer.get("cancelled"):
        yield f"What it had queued is cancelled: {', '.join(answer['cancelled'])}."


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
    due = show.here(found["due"])
    yield f"{found['post']}  {found['state']}  {found['platform']}/{found['account']}  {who}  due {due}"
    yield show.indented(found["text"])
    if found["parts"] > 1:
        after = f", after {found['follows']}" if found["follows"] else ""
        yield f"    (part {found['part']} of {found['parts']}{after})"
    if found.get("waits_for"):
        yield f"    (waits: {found['waits_for']})"
    if found["error"]:
        yield f"    ({found['error']})"
    if found["state"] == "draft":
        yield f"    (approve, edit, replace or drop it until {show.here(found['expires'])})"
    if found["state"] == "review":
        yield "    (is it there? confirm it; if it is not, retry or drop it)"


def explanation(answer: Answer) -> Iterable[str]:
    yield f"{answer['id']}  {answer['state']}  {answer['platform']}/{answer['account']}"
    yield show.indented(answer["text"])
    yield f"Why: {reason(answer)}."
    for name, value in answer["cause"].items():
        if value not in (None, "", [], {}):
            yield f"  {name}: {f'{value:.3f}' if isinstance(value, float) else value}"
    if answer["parent"]:
        yield f"It follows {answer['parent']['id']}, which is {answer['parent']['state']}."
    for child in answer["children"]:
        yield f"{child['id']}, which is {child['state']}, follows it."
    yield "What happened:"
    for step in answer["log"]:
        detail = f"  {step['detail']}" if step["detail"] else ""
        yield f"  {show.here_ms(step['at'])}  {step['state']}{detail}"
    for used in answer["ledger"]:
        price = f" for ${used['micros'] / 1e6:.3f}" if used["micros"] else ""
        yield f"  {show.here_ms(used['at'])}  booked: {used['count']} {used['kind']}{price}"
    if answer["remote_id"]:
        yield f"It stands on {answer['platform']} as {answer['remote_id']}."


def reason(answer: Answer) -> str:
    cause = answer["cause"]
    if "schedule" in cause:
        return f"schedule {cause['schedule']} was due"
    return f"{cause['asked_by']} asked for it" if cause.get("asked_by") else str(answer["cause_key"])


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
        yield f"{found['scope']}  until {show.here(found['until'])}"


def muted(answer: Answer) -> Iterable[str]:
    yield f"{answer['scope']} is muted until {show.here(answer['until'])}."


def unmuted(answer: Answer) -> Iterable[str]:
    yield f"{answer['scope']} is muted no more."


def listenings(answer: Answer) -> Iterable[str]:
    if not answer["listening"]:
        show.note("Nothing is settled: mentions are answered by the only persona of their place.")
    for found in answer["listening"]:
        yield from listening(found)


def listening(answer: Answer) -> Iterable[str]:
    chance = "" if answer["chance"] == 1 else f" with a chance of {answer['chance']:g}"
    cooldown = f", once in {duration(answer['cooldown'])}" if answer["cooldown"] else ""
    answers = f"{answer['persona']} answers{chance}{cooldown}" if answer["chance"] else "nobody answers"
    unasked = [f"with a chance of {answer['unasked_chance']:g} after a message"] if answer["unasked_chance"] else []
    unasked += [f"after every {answer['unasked_every']} messages"] if answer["unasked_every"] else []
    more = f"; {answer['persona']} speaks unasked {' and '.join(unasked)}" if unasked else ""
    yield f"{answer['platform']}/{answer['account']}  {answers}{more}"


def forgotten(answer: Answer) -> Iterable[str]:
    """What went of a handle, and what only the platforms can remove."""
    for of in answer["places"]:
        where = "" if of["place"] == "shell" else f" in {of['place']}"
        yield (
            f"@{answer['handle']}{where}: {of['tweets']:,} tweets, {counted(of['personas'])}, {of['runs']} trainings, "
            f"{of['schedules']} schedules, {of['waiting']} posts that waited"
            f"{' (dry run: nothing was forgotten)' if answer['dry_run'] else ''}"
        )
        for said in of["said"]:
            known = said["remote_id"] or "an unknown id: it may have arrived"
            yield f"  Only there it can be removed: {said['platform']}/{said['account']}, {known}"


def counted(slugs: list[str]) -> str:
    return f"{len(slugs)} personas ({', '.join(slugs)})" if slugs else "0 personas"


def opted_out(answer: Answer) -> Iterable[str]:
    yield f"@{answer['handle']} is imitated no more; `mockingbird forget {answer['handle']} --everywhere` removes it."
    if answer["cancelled"]:
        yield f"Cancelled for it: {', '.join(answer['cancelled'])}."


def opt_outs(answer: Answer) -> Iterable[str]:
    if not answer["handles"]:
        show.note("Nobody has opted out.")
    for handle in answer["handles"]:
        yield f"@{handle}"


def opted_in(answer: Answer) -> Iterable[str]:
    yield f"@{answer['handle']} may be imitated again."


def shared(answer: Answer) -> Iterable[str]:
    yield f"{answer['persona']} can be used {'everywhere' if answer['shared'] else 'in its own place only'}."


def accounts(answer: Answer) -> Iterable[str]:
    limits = answer["limits"]
    for found in answer["accounts"]:
        used = ", ".join(used_up(found["used"][name], limits[name], words) for name, words in USED.items())
        paused = f"  (paused: {found['reason']})" if found["paused"] else ""
        yield f"{found['platform']}/{found['account']}  {used}{paused}"


def used_up(used: float, limit: float, words: str) -> str:
    """For instance `2 of 3 posts in the last hour`."""
    return words.format(f"{used:g} of {limit:g}" if limit else f"{used:g}")


def account(answer: Answer) -> Iterable[str]:
    yield f"{answer['platform']}/{answer['account']} is {answer['state']}."


def feed(answer: Answer) -> Iterable[str]:
    if not answer["entries"]:
        show.note("Nothing was posted yet.")
    for found in reversed(answer["entries"]):
        yield f"{show.here(found['at'])}  @{found['author']}  " + found["text"].replace("\n", "\n    ")
