"""Sentences of small grammars with long-range dependencies between words.

The argument `rng` is a NumPy generator; equal seeds give equal data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Rng = np.random.Generator

# --- reviews --------------------------------------------------------------------------------------

TOPICS = "film story acting music ending hero dialogue beginning"
GOOD = "good great wonderful funny moving brilliant"
BAD = "bad dull awful boring weak silly"
ASIDES = ["I saw it with my sister. ", "It was a rainy day. ", "We sat in the first row. ", "", ""]
REVIEW_TEMPLATES = {
    "plain": "{this}.",
    "and": "{this} and {same}.",
    "but": "{other}, but {this}.",
    "although": "although {other}, {this}.",
    "..., although": "{this}, although {other}.",
}


def make_review(rng: Rng, kind: str | None = None) -> tuple[str, str]:
    """Generate a film review from one of `REVIEW_TEMPLATES`, and its label, "pos" or "neg".

    Negation inverts the meaning of a word. Of two clauses, the clause after "but" or without
    "although" determines the label.
    """

    def clause(good: bool) -> str:
        negated = rng.random() < 0.3
        word = rng.choice((GOOD if good != negated else BAD).split())
        modifier = rng.choice(["not", "never", "far from"] if negated else ["", "really", "so"])
        return f"the {rng.choice(TOPICS.split())} was {modifier} {word}".replace("  ", " ")

    good = rng.random() < 0.5
    template = REVIEW_TEMPLATES[kind or rng.choice(list(REVIEW_TEMPLATES))]
    text = template.format(this=clause(good), same=clause(good), other=clause(not good))
    return rng.choice(ASIDES) + text[0].upper() + text[1:], "pos" if good else "neg"


# --- word order -----------------------------------------------------------------------------------

NAMES = ("Ann", "Bob", "Cid", "Dot", "Eve", "Fay")
OBSERVER_WORDS = (*NAMES, "sees", "and")


def make_observer_sentence(rng: Rng) -> tuple[str, int]:
    """Generate a sentence in random word order, and the index of its subject in `NAMES`.

    The sentence contains three names and "and", with "sees" after the subject: "and Bob Ann sees
    Eve".
    """
    subject, *others = rng.permutation(len(NAMES))[:3]
    phrases = [f"{NAMES[subject]} sees", *(NAMES[k] for k in others), "and"]
    return " ".join(rng.permutation(phrases)), int(subject)


# --- English and Chinese --------------------------------------------------------------------------


def _table(text: str) -> list[list[str]]:
    return [entry.split("/") for entry in text.split("|")]


SUBJECTS = _table("I/我|you/你|he/他|she/她|we/我们|they/他们|my friend/我的朋友|the teacher/老师")
VERBS = _table("buy/bought/买|sell/sold/卖|see/saw/看见|find/found/找到|lose/lost/丢|draw/drew/画")
NOUNS = _table(
    "book/books/本/书|map/maps/张/地图|ticket/tickets/张/票|cat/cats/只/猫|bird/birds/只/鸟|"
    "car/cars/辆/车|shirt/shirts/件/衬衫|coat/coats/件/大衣|flower/flowers/朵/花|"
    "letter/letters/封/信|horse/horses/匹/马|pen/pens/支/笔|chair/chairs/把/椅子"
)
ADJECTIVES = _table("red /红|white /白|black /黑|new /新|old /旧|big /大|small /小|/")
PREDICATES = _table("expensive/贵|cheap/便宜|beautiful/漂亮|new/新|old/旧|big/大|small/小")
PLACES = _table(
    " in Beijing/在北京| in Shanghai/在上海| at the market/在市场| at school/在学校|/|/|/"
)
TIMES = _table(" yesterday/昨天| last week/上个星期| this morning/今天早上| on Friday/星期五|/")
MONTHS = "January February March April May June July August September October November December"
ONES = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def chinese_numeral(n: int, digits: str = " 一二三四五六七八九") -> str:
    """Return a number from 1 to 99 in Chinese: 七 for 7, 十二 for 12, 四十 for 40."""
    tens, ones = divmod(int(n), 10)
    return digits[tens] * (tens > 1) + "十" * (tens > 0) + digits[ones].strip()


def make_translation_pair(rng: Rng) -> tuple[str, str]:
    """Generate an English sentence and its Chinese translation.

    The word order differs: adverbials of time and place precede the verb, a relative clause
    precedes its noun, and the month precedes the day. Counted nouns need measure words (只 for
    birds, 本 for books), and two is 两 before measure words but 二 in dates.
    """

    def pick(entries: list[Any]) -> Any:
        return entries[rng.integers(len(entries))]

    subject, subject_zh = pick(SUBJECTS)
    verb, past, verb_zh = pick(VERBS)
    singular, plural, measure, noun_zh = pick(NOUNS)
    adjective, adjective_zh = pick(ADJECTIVES)
    place, place_zh = pick(PLACES)
    time, time_zh = pick(TIMES)
    if rng.random() < 0.3:
        month, day = int(rng.integers(12)), int(rng.integers(1, 29))
        time, time_zh = (
            f" on {day} {MONTHS.split()[month]}",
            f"{chinese_numeral(month + 1)}月{chinese_numeral(day)}日",
        )
    n = int(rng.choice([1, 2, int(rng.integers(3, 100))]))
    count = ONES[n - 1] if n < 20 else f"{TENS[n // 10 - 2]} {ONES[n % 10 - 1] * (n % 10 > 0)}"
    noun_phrase = f"{adjective}{singular}" if n == 1 else f"{count.strip()} {adjective}{plural}"
    object_phrase = f"one {noun_phrase}" if n == 1 else noun_phrase
    count_zh = "两" if n == 2 else chinese_numeral(n)
    adjective_zh += "的" * (len(adjective_zh) > 1)
    object_zh = f"{measure}{adjective_zh}{noun_zh}"
    start_zh = f"{subject_zh}{time_zh}{place_zh}{verb_zh}"
    match rng.integers(4):
        case 0:
            english = f"{subject} {past} {object_phrase}{place}{time}."
            chinese = f"{start_zh}了{count_zh}{object_zh}。"
        case 1:
            english = f"{subject} did not {verb} the {adjective}{singular}{place}{time}."
            chinese = f"{subject_zh}{time_zh}没{place_zh}{verb_zh}那{object_zh}。"
        case 2:
            english = f"did {subject} {verb} {object_phrase}{place}{time}?"
            chinese = f"{start_zh}了{count_zh}{object_zh}吗？"
        case _:
            copula, (predicate, predicate_zh) = "is" if n == 1 else "are", pick(PREDICATES)
            english = f"the {noun_phrase} that {subject} {past}{place}{time} {copula} {predicate}."
            chinese = f"{start_zh}的那{'' if n == 1 else count_zh}{object_zh}很{predicate_zh}。"
    return english[0].upper() + english[1:], chinese


CHARACTERS = (
    "我你他她们的朋友老师买卖看见找到丢画本书张地图票只猫鸟辆车件衬衫大衣朵花封信匹马支笔把椅子"
    "红白黑新旧小贵便宜漂亮在北京上海市场学校昨天个星期今早月日了那没很吗。？"
    "一二三四五六七八九十两"
)
SPOKEN = (
    "wǒ nǐ tā tā men de péng yǒu lǎo shī mǎi mài kàn jiàn zhǎo dào diū huà běn shū zhāng dì tú "
    "piào zhī māo niǎo liàng chē jiàn chèn shān dà yī duǒ huā fēng xìn pǐ mǎ zhī bǐ bǎ yǐ zi "
    "hóng bái hēi xīn jiù xiǎo guì pián yi piào liang zài běi jīng shàng hǎi shì chǎng xué xiào "
    "zuó tiān gè xīng qī jīn zǎo yuè rì le nà méi hěn ma . ? "
    "yī èr sān sì wǔ liù qī bā jiǔ shí liǎng"
)
PINYIN = dict(zip(CHARACTERS, SPOKEN.split(), strict=True))
"""The pronunciation of each character of the translations."""
