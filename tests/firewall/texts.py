"""Titles as people write them: ordinary words and punctuation that a firewall can mistake for an attack."""

from __future__ import annotations

import random


def words(text: str) -> list[str]:
    return text.split()


WRITTEN = (
    "10 tips & tricks; select the best one",
    "curl hair; wash & go",
    "1=1 math",
    "Cats vs. dogs -- who wins?",
    "Don't drop the table!",
    'He said "or else" and left',
    "Select all from the menu",
    "Union of two cities; order by phone",
    "Rock 'n' roll: insert coin",
    "50% off (today only)",
    "<3 my dog",
    "Q&A #12 | part 2/3",
    "sleep(8) hours a night = bliss",
    "C++ in 60 s; C# in 90 s",
    "How to kill -9 a bad habit",
    "$100 vs. $1,000 dinner",
    "Why 2+2=4; and why it matters",
    "Cut, sort & find: a day in the archive",
    "The cat who likes 'like'",
    "Group by group: having fun where it counts",
    "`Code` in backticks, and what's it for?",
    "Drop by & say hi; update your status",
    "Echo; a short film",
    "Top 5 / bottom 5 -> guess!",
    "What if... you could sleep; and wake up rich?",
    "@home with Anna & Ben: eval your kitchen",
    "Document your window; open it",
    "Function over form (style=plain)",
    "Is it 'a' or 'b'? Between you and me",
    "Script for a short; action! cut!",
    "ping pong; nc-17 tables; who wins?",
    "Tail lights & head lights; more or less",
)
VERBS = words(
    "cook wash curl cut sort find kill echo touch sleep make watch select insert update delete drop create join order "
    "exec print open load set get start stop move copy split merge call declare ping paste man cat tail head more less "
    "time test kick lift stretch fold bake fry mix paint draw write read sing dance run walk ride drive fix build type"
)
NOUNS = words(
    "hair table union group index view user cat dog cake bread soup curry pasta garden kitchen window document script "
    "style image form frame object body link title video film song drum guitar piano ball goal team match cup final "
    "city beach island mountain river train plane car bike code bug shell python java ruby server cookie password key "
    "habit morning evening night weekend budget dollar coffee tea sugar salt pepper waitfor delay benchmark char null"
)
FORMS = (
    "{n} {noun}s & {noun}s; {verb} the best one",
    "{verb} {noun}; {verb} & {verb}",
    "{n}={n} {noun}",
    "{n}+{m}={k}: {noun} for everyone",
    "Don't {verb} -- {verb} instead",
    "What's a {noun}? {verb} & see!",
    '"{noun}" or "{noun}": {verb} one',
    "'{noun}' and '{noun}' = {noun}",
    "The {noun} (part {n}/{m})",
    "{noun} #{n} | {noun} #{m}",
    "<3 {noun}: I {verb} it",
    "{noun} -> {noun}; no {noun}",
    "${n} vs. ${m},000 {noun}",
    "{n}% {noun}, {m}% {noun}",
    "{verb} from {noun} where it's {noun}",
    "{verb} all {noun}s from a {noun} and {verb} them",
    "{verb}/{verb}: {noun} or {noun}?",
    "{noun}, {noun} && {noun}",
    "How to {verb} a {noun} in {n} min; {verb} like a pro",
    "Is '{n}' > '{m}'? A {noun} explains",
    "{noun}: {verb} (or {verb}) before you {verb}...",
    "#{noun} @{noun} *{verb}* ~{n} min~",
    "`{noun}` vs. `{noun}`",
    "{noun} / {noun} \\ {noun}",
    "Who let the {noun} out? who? who?",
    "{verb} it; {verb} it; {verb} it!",
    "{noun} [{n} of {m}] {{{noun}}}",
    "{n} or {m} {noun}s? {n} and {m}!",
    "{noun}'s {noun} isn't {noun}'s",
    "{verb} & {verb} || {verb}",
    "{noun} ({verb}) ({noun})",
    "{verb}({noun}): {n} (new)",
    "{verb}: {n}) {noun}, {m}) {noun}; {k}) {noun}",
    "{noun}... {verb}?! {noun} :-) ;-) {noun}",
    "{noun}@{noun}.example, {noun}_{noun} + {noun}*{n}",
    "{noun}; -- the {noun}",
    "in {n}/{m}/26 & {noun}=({noun})",
)


def titles(count: int, draw: random.Random) -> list[str]:
    """`count` distinct titles: those above, then generated ones."""
    found = dict.fromkeys(WRITTEN[:count])
    while len(found) < count:
        found[_title(draw)] = None
    return list(found)


def _title(draw: random.Random) -> str:
    form = draw.choice(FORMS)
    for name, choices in (("verb", VERBS), ("noun", NOUNS)):
        while "{" + name + "}" in form:
            form = form.replace("{" + name + "}", draw.choice(choices), 1)
    for name in "nmk":
        form = form.replace("{" + name + "}", str(draw.randint(1, 99)))
    text = form.replace("{{", "{").replace("}}", "}")
    return text[0].upper() + text[1:] if draw.random() < 0.7 else text
