"""Translation: one network reads English, another writes Chinese, and looks back as it writes.

    tinygrad-rnn demo translation
    tinygrad-rnn predict runs/demo/translation 'The two birds that I saw yesterday are beautiful.'

The sentences are of a grammar in which little stays where it was: when and where come before the
verb, a relative clause before its noun (the two birds that I saw: I saw's that two 只 bird),
things are counted with measure words (只 for birds, 本 for books), two is 两 of things but 二 in
dates, and the month comes before the day. A decoder that gets the sentence as one vector (Sutskever
et al., "Sequence to sequence learning with neural networks", 2014) is compared with one that looks
back at all words (Bahdanau et al., "Neural machine translation by jointly learning to align and
translate", 2015; in the form of Luong et al., 2015). No test sentence was learned from.
"""

import sys

import numpy as np

import autograd as ag
from tinygrad_rnn import cli, data, models, nn, optim, training
from tinygrad_rnn.data.tables import BEGIN, END, PADDING
from tinygrad_rnn.errors import InputError
from tinygrad_rnn.pictures import legible, subplots

CLAIM = (
    "An encoder and a decoder translate between languages of another order. With attention, which "
    "nobody tells what belongs together, they make fewer mistakes, and one sees what they look at."
)
DATA = "a .tsv, .csv or .jsonl of pairs, in columns source and target"


def table(text):
    return [entry.split("/") for entry in text.split("|")]


WHO = table("I/我|you/你|he/他|she/她|we/我们|they/他们|my friend/我的朋友|the teacher/老师")
DO = table("buy/bought/买|sell/sold/卖|see/saw/看见|find/found/找到|lose/lost/丢|draw/drew/画")
THING = table(
    "book/books/本/书|map/maps/张/地图|ticket/tickets/张/票|cat/cats/只/猫|bird/birds/只/鸟|"
    "car/cars/辆/车|shirt/shirts/件/衬衫|coat/coats/件/大衣|flower/flowers/朵/花|"
    "letter/letters/封/信|horse/horses/匹/马|pen/pens/支/笔|chair/chairs/把/椅子"
)
LIKE = table("red /红|white /白|black /黑|new /新|old /旧|big /大|small /小|/")
IS = table("expensive/贵|cheap/便宜|beautiful/漂亮|new/新|old/旧|big/大|small/小")
WHERE = table(
    " in Beijing/在北京| in Shanghai/在上海| at the market/在市场| at school/在学校|/|/|/"
)
WHEN = table(" yesterday/昨天| last week/上个星期| this morning/今天早上| on Friday/星期五|/")
MONTHS = "January February March April May June July August September October November December"
ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
ONES = [*ONES.split(), "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
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


def number(n, digits=" 一二三四五六七八九"):
    """From 1 to 99: 7 is 七, 12 is 十二, 40 is 四十."""
    tens, ones = divmod(int(n), 10)
    return digits[tens] * (tens > 1) + "十" * (tens > 0) + digits[ones].strip()


def sentence(rng):
    """A sentence, and its translation."""
    pick = lambda entries: entries[rng.integers(len(entries))]  # noqa: E731
    (who, 谁), (do, did, 做), (one, many, 只, 物) = pick(WHO), pick(DO), pick(THING)
    (like, 样), (where, 哪儿), (when, 何时) = pick(LIKE), pick(WHERE), pick(WHEN)
    if rng.random() < 0.3:
        month, day = rng.integers(12), rng.integers(1, 29)
        when, 何时 = f" on {day} {MONTHS.split()[month]}", f"{number(month + 1)}月{number(day)}日"
    n = int(rng.choice([1, 2, rng.integers(3, 100)]))
    count = ONES[n - 1] if n < 20 else f"{TENS[n // 10 - 2]} {ONES[n % 10 - 1] * (n % 10 > 0)}"
    which = f"{like}{one}" if n == 1 else f"{count.strip()} {like}{many}"
    what = f"one {which}" if n == 1 else which
    多少 = "两" if n == 2 else number(n)
    样 += "的" * (len(样) > 1)
    match rng.integers(4):
        case 0:
            english = f"{who} {did} {what}{where}{when}."
            chinese = f"{谁}{何时}{哪儿}{做}了{多少}{只}{样}{物}。"
        case 1:
            english = f"{who} did not {do} the {like}{one}{where}{when}."
            chinese = f"{谁}{何时}没{哪儿}{做}那{只}{样}{物}。"
        case 2:
            english = f"did {who} {do} {what}{where}{when}?"
            chinese = f"{谁}{何时}{哪儿}{做}了{多少}{只}{样}{物}吗？"
        case _:
            be, (good, 好) = "is" if n == 1 else "are", pick(IS)
            english = f"the {which} that {who} {did}{where}{when} {be} {good}."
            chinese = f"{谁}{何时}{哪儿}{做}的那{'' if n == 1 else 多少}{只}{样}{物}很{好}。"
    return english[0].upper() + english[1:], chinese


def translator(source, target, size, attention=nn.GeneralAttention):
    return models.EncoderDecoder(source, target, nn.GRU(size, size, bidirectional=True), attention)


def scored(model, batch):
    """Scores of what follows each symbol, and what does; where nothing does it is PADDING."""
    source, lengths, target, _ = batch
    scores = model(source, lengths, target[:-1])
    return scores.reshape(-1, scores.shape[-1]), target[1:].ravel()


def loss(model, batch):
    scores, wanted = scored(model, batch)
    mean = nn.functional.cross_entropy(scores, wanted, ignore_index=PADDING)
    return mean, (wanted != PADDING).sum()


def batches(pairs, shuffle=False):
    lengths = [len(source) for source, _ in pairs]
    return data.DataLoader(pairs, 32, shuffle, collate_fn=data.pad_collate, lengths=lengths)


def learn(show, model, train, validation, steps, quick):
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    total = show.choose(steps, quick)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=total)
    trainer = training.Trainer(
        model, optimizer, loss, train, validation, schedule=schedule, schedule_per="step", clip=1
    )
    show.fit(trainer, steps, quick, patience=5)
    return model.eval()


def translate(model, source, lengths, width):
    """The symbols of the best translation that a beam search of this width finds for each."""
    with ag.no_grad():
        state, start = model.encode(source, lengths), [BEGIN] * len(lengths)
        longest = 2 * len(source) + 10
        found = models.beam_search(model.step, state, start, END, longest, width=width)
    return [written.tokens for written in found]


def exact(model, pairs, width):
    """The share of sentences that are translated without a mistake."""
    source, lengths, target, _ = data.pad_collate(list(pairs))
    wanted = [[n for n in column if n > END] for column in target.numpy().T.tolist()]
    found = translate(model, source, lengths, width)
    return np.mean([a == b for a, b in zip(found, wanted, strict=True)])


def main(show):
    if show.data is None:
        sentences = dict(sentence(show.rng) for _ in range(show.choose(14000, 4000)))
        texts, size, steps = (list(sentences), list(sentences.values())), 64, 1300
        pairs = data.ParallelText(*texts, text_split=data.tokens)
    else:
        pairs, size, steps = (
            data.ParallelText.from_file(show.data, text_split=data.tokens),
            128,
            3000,
        )
    if len(pairs) < 20:
        raise InputError(f"{show.data}: {len(pairs)} pairs are too few to learn from; 20 at least")
    train, validation, unseen = data.random_split(pairs, [0.8, 0.1, 0.1])
    unseen = data.Subset(unseen, range(min(show.choose(300, 50), len(unseen))))
    lexicons = pairs.source_lexicon, pairs.target_lexicon
    numbers = [len(lexicon) for lexicon in lexicons]
    show.say(f"{len(train)} pairs to learn from; words here and there: {numbers}")
    learned = batches(train, shuffle=True), batches(validation)
    model = learn(show, translator(*numbers, size), *learned, steps, 70)
    blind = learn(show, translator(*numbers, size, None), *learned, steps, 30)
    show.save(model, source=lexicons[0].words, target=lexicons[1].words, size=size)

    with ag.no_grad():
        scores, wanted = scored(model, data.pad_collate(list(unseen)))
    right = (ag.argmax(scores, 1) == wanted).numpy()[wanted.numpy() != PADDING].mean()
    share = exact(model, unseen, 4)
    less = exact(blind, unseen, 4)
    show.measured("characters right, given those before", right, "%", at_least=0.99, quick=0.5)
    show.measured("sentences exact, beam of 4", share, "%", at_least=0.98)
    show.measured("sentences exact, greedily", exact(model, unseen, 1), "%")
    show.measured("without attention: exact, beam of 4", less, "%")
    show.measured("without attention: fewer by", share - less, "%", at_least=0.01)
    source, target = max(unseen, key=lambda pair: len(pair[0]) * (len(pair[0]) < 18))
    with ag.no_grad():
        weights = model.alignment(source[:, None], [len(source)], target[:-1, None]).numpy()[0]
    words = [lexicon.decode(ids) for lexicon, ids in zip(lexicons, (source, target), strict=True)]
    show.picture("attention.png", draw(weights, *words), "where it looks as it writes")


def predict(run, input):
    read, written = (data.Lexicon(tuple(run.config[name])) for name in ("source", "target"))
    model = run.load(translator(len(read), len(written), run.config["size"]))
    words = data.tokens(input)
    if not words:
        raise InputError("there is no word in the text")
    (found,) = translate(model, read.encode(words)[:, None], [len(words)], width=4)
    print(data.joined(written.decode(found)))
    if strange := sorted(set(words) - set(read.words)):
        print(f"not among the words it has learned: {', '.join(strange)}")


def draw(weights, words, characters):
    """The attention: a row for each character that is written, a column for each word read."""
    figure, axes = subplots(width=7.5, height=6.5)
    image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(words)), map(legible, words), rotation=60, ha="right")
    spoken = [PINYIN.get(character) or legible(character) for character in characters]
    axes.set_yticks(range(len(spoken) + 1), [*spoken, "(end)"])
    axes.set(xlabel="read", ylabel="written", title="Each character looks at the words it needs")
    axes.grid(visible=False)
    figure.colorbar(image, label="weight of the attention")
    return figure


if __name__ == "__main__":
    sys.exit(cli.main(["demo", __file__, *sys.argv[1:]]))
