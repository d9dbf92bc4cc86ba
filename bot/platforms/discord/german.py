"""German: what Discord shows of the commands to those who use it in German."""

from __future__ import annotations

from collections.abc import Mapping

GERMAN: Mapping[str, str] = {
    # Names of commands
    "imitate": "nachahmen",
    "Answer as ...": "Antworten als ...",
    "personas": "personas",
    "persona": "persona",
    "schedule": "zeitplan",
    "add": "neu",
    "preview": "vorschau",
    "list": "liste",
    "show": "zeigen",
    "pause": "pause",
    "resume": "weiter",
    "remove": "entfernen",
    "queue": "warteschlange",
    "outbox": "ausgang",
    "mute": "stumm",
    "unmute": "laut",
    "ban-phrase": "wortverbot",
    "settings": "einstellungen",
    "help": "hilfe",
    "status": "status",
    "train": "lernen",
    "forget": "vergessen",
    "optout": "abmelden",
    "privacy": "datenschutz",
    # What they do
    "Writes as somebody would": "Schreibt, wie jemand schreiben würde",
    "Who: a handle, or several mixed, as in jo+kim": "Wer: ein Handle, oder mehrere gemischt, wie in jo+kim",
    "What it begins with": "Womit es anfängt",
    "How many texts, 1 to 5": "Wie viele Texte, 1 bis 5",
    "Learns how somebody writes, from their tweets": "Lernt aus Tweets, wie jemand schreibt",
    "Removes all that is held of a handle here": "Entfernt alles, was hier zu einem Handle da ist",
    "The bot leaves you alone, or you ask that a handle be forgotten": (
        "Der Bot lässt dich in Ruhe, oder du bittest, ein Handle zu vergessen"
    ),
    "What is kept of you, why, for how long, and how it ends": (
        "Was über dich aufbewahrt wird, wozu, wie lange, und wie es endet"
    ),
    "tweets.js of an X archive (zipped is fine), .jsonl or .csv; none: what is held already": (
        "tweets.js eines X-Archivs (auch gezippt), .jsonl oder .csv; keine: was schon da ist"
    ),
    "Whose tweets they are; or, without a file, who is held here, as in jo+kim": (
        "Von wem die Tweets sind; ohne Datei: wer schon da ist, auch jo+kim"
    ),
    "Whether you have this person's permission": "Ob du die Erlaubnis dieser Person hast",
    "Whose tweets, personas and texts are to go": "Wessen Tweets, Personas und Texte verschwinden sollen",
    "Who should be forgotten here, if not you": "Wer hier vergessen werden soll, wenn nicht du",
    "Take it back": "Zurücknehmen",
    "Who can be imitated here": "Wer hier nachgeahmt werden kann",
    "Who a persona is, what it was made of, and how it sounds": "Wer eine Persona ist, woraus sie kam, wie sie klingt",
    "What personas say by themselves, and when": "Was Personas von sich aus sagen, und wann",
    "Lets a persona speak by itself at the times that you choose": (
        "Lässt eine Persona von sich aus sprechen, zu Zeiten, die du wählst"
    ),
    "Shows when such a schedule would speak, and makes none": (
        "Zeigt, wann ein solcher Zeitplan sprechen würde, und legt keinen an"
    ),
    "All schedules of this place, and when each speaks next": "Alle Zeitpläne von hier, und wann jeder wieder spricht",
    "A schedule with its next times, and what became of the last ones": (
        "Ein Zeitplan mit den nächsten Zeiten und dem, was aus den letzten wurde"
    ),
    "Silences a schedule until it is resumed": "Lässt einen Zeitplan schweigen, bis er weitergeht",
    "Lets a paused schedule go on": "Lässt einen angehaltenen Zeitplan weitergehen",
    "Removes a schedule, and what it has queued": "Entfernt einen Zeitplan und was von ihm noch wartet",
    "What waits here, how many are ahead, and taking your own back": (
        "Was hier wartet, wie viele davor sind; Eigenes zurücknehmen"
    ),
    "Drafts to approve, and posts that may or may not have arrived": (
        "Entwürfe zum Freigeben, und Beiträge, die vielleicht nicht ankamen"
    ),
    "Lets a persona, a channel or everything here be silent for a while": (
        "Lässt eine Persona, einen Kanal oder alles hier eine Weile schweigen"
    ),
    "Ends a mute before its time": "Beendet ein Schweigen vor seiner Zeit",
    "What nobody is to say here, in whatever spelling": "Was hier niemand sagen soll, wie auch immer geschrieben",
    "Bans a word or a phrase; what waits and holds it is cancelled": (
        "Verbietet ein Wort oder eine Wendung; was es enthält und wartet, entfällt"
    ),
    "The words and phrases that are banned here": "Die Wörter und Wendungen, die hier verboten sind",
    "Allows a word or a phrase again": "Erlaubt ein Wort oder eine Wendung wieder",
    "Where drafts and notices are shown, and how answers look here": (
        "Wo Entwürfe und Hinweise erscheinen, und wie Antworten hier aussehen"
    ),
    "What there is, in short": "Was es gibt, in Kürze",
    "How the bot is doing, and what it has to do here": "Wie es dem Bot geht, und was er hier zu tun hat",
    # Names of options
    "handle": "handle",
    "count": "anzahl",
    "file": "datei",
    "permission": "erlaubnis",
    "undo": "zurück",
    "name": "name",
    "every": "alle",
    "at": "um",
    "cron": "cron",
    "times": "anzahl",
    "between": "zwischen",
    "apart": "abstand",
    "channel": "kanal",
    "approval": "freigabe",
    "quiet": "ruhe",
    "zone": "zeitzone",
    "prompt": "anfang",
    "chance": "chance",
    "jitter": "streuung",
    "cancel": "zurücknehmen",
    "time": "dauer",
    "phrase": "wendung",
    "notices": "hinweise",
    "webhooks": "webhooks",
    # What they are for
    "Who; personas appear while you type": "Wer; beim Tippen erscheinen Personas",
    "Who speaks": "Wer spricht",
    "How often: 30m, 3h, or days, weeks and months with a time of day: 1d, 2w, 1mo": (
        "Wie oft: 30m, 3h, oder Tage, Wochen, Monate mit einer Uhrzeit: 1d, 2w, 1mo"
    ),
    "The time of day that goes with days, weeks or months: 09:00": "Die Uhrzeit zu Tagen, Wochen oder Monaten: 09:00",
    "Instead: a rule as in crontab, such as 0 9 * * mon-fri": "Stattdessen: eine Regel wie in crontab: 0 9 * * mon-fri",
    "Instead: so many times a day, at moments that are drawn": "Stattdessen: so oft am Tag, zu ausgelosten Zeiten",
    "The part of the day for these times: 09:00-21:00": "Der Teil des Tages für diese Zeiten: 09:00-21:00",
    "How far apart these times are at least: 2h": "Wie weit diese Zeiten mindestens auseinander liegen: 2h",
    "Where; this channel if you leave it out": "Wo; ohne Angabe in diesem Kanal",
    "Which posts somebody must approve first; none if you leave it out": (
        "Welche Beiträge erst jemand freigeben muss; ohne Angabe keine"
    ),
    "Part of the day in which nothing is said: 22:00-07:00": "Teil des Tages, in dem nichts gesagt wird: 22:00-07:00",
    "Whose clock the times are of, such as Europe/Berlin; UTC if you leave it out": (
        "Nach welcher Uhr, etwa Europe/Berlin; ohne Angabe UTC"
    ),
    "What each text begins with": "Womit jeder Text beginnt",
    "How likely it speaks when it is due: 0.5 is every other time": (
        "Wie wahrscheinlich sie spricht, wenn es so weit ist: 0.5 ist jedes zweite Mal"
    ),
    "Up to how much later, so that it is less regular: 10m": "Bis zu wie viel später, damit es unregelmäßiger ist: 10m",
    "Which one": "Welcher",
    "The number of what you want to take back": "Die Nummer dessen, was du zurücknehmen willst",
    "How long: 30m, 2h, 1d; without it you see what is muted": "Wie lange: 30m, 2h, 1d; ohne Angabe: was schweigt",
    "Who is to be silent, in every channel": "Wer schweigen soll, in jedem Kanal",
    "Where nothing is to be said; without persona and channel everything here is muted": (
        "Wo nichts gesagt werden soll; ohne Persona und Kanal schweigt alles hier"
    ),
    "Who may speak again": "Wer wieder sprechen darf",
    "Where; without persona and channel the mute of everything here ends": (
        "Wo; ohne Persona und Kanal endet das Schweigen von allem hier"
    ),
    "The word or phrase": "Das Wort oder die Wendung",
    "The channel in which drafts and notices are shown": "Der Kanal, in dem Entwürfe und Hinweise erscheinen",
    "Whether answers may appear under the persona's own name, marked as AI": (
        "Ob Antworten unter dem Namen der Persona erscheinen dürfen, als KI gekennzeichnet"
    ),
    # What can be chosen
    "Every post": "Jeder Beitrag",
    "The first 5 posts": "Die ersten 5 Beiträge",
    "The first 20 posts": "Die ersten 20 Beiträge",
    "None": "Keine",
    # /reply
    "reply": "antworten",
    "set": "setzen",
    "off": "aus",
    "Who answers when people speak to me": "Wer antwortet, wenn jemand mich anspricht",
    "Choose who answers in a channel": "Bestimmt, wer in einem Kanal antwortet",
    "Nobody answers in a channel any more": "In einem Kanal antwortet niemand mehr",
    "Who answers in a channel, and how often": "Wer in einem Kanal antwortet, und wie oft",
    "cooldown": "pause_sekunden",
    "unasked_chance": "ungefragt_chance",
    "unasked_every": "ungefragt_alle",
    "Who answers": "Wer antwortet",
    "How likely an answer is, from 0 to 1 (always, unless you say otherwise)": (
        "Wie wahrscheinlich eine Antwort ist, von 0 bis 1 (ohne Angabe immer)"
    ),
    "Seconds between two answers (10, unless you say otherwise)": "Sekunden zwischen zwei Antworten (ohne Angabe 10)",
    "How likely they speak by themselves after a message, from 0 to 1 (never)": (
        "Wie wahrscheinlich sie nach einer Nachricht von sich aus sprechen, von 0 bis 1 (nie)"
    ),
    "After how many messages they speak by themselves, 0 for never": (
        "Nach wie vielen Nachrichten sie von sich aus sprechen, 0 für nie"
    ),
    "Where, if not here": "Wo, wenn nicht hier",
}
