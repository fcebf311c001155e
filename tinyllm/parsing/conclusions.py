"""What stands before or behind a stated answer, in English and other languages, and the plain text that it is looked for in."""

from __future__ import annotations

import re
import unicodedata

from tinyllm.parsing.words import holds
from tinyllm.records.exact_match import ascii_numbers

GOOD = (
    r"(?:correct|right|best|final|most\ (?:likely|suitable|appropriate|plausible|logical|reasonable|accurate|probable)"
    r"|likeliest|appropriate|only(?:\ remaining|\ possible|\ other)?)"
)
_ADVERB = (
    r"(?:\ (?:therefore|then|thus|hence|clearly|obviously|definitely|certainly|indeed|actually|simply|just|most\ likely"
    r"|likely|probably|given\ by|given\ as))*"
)
_NOT_BEFORE = r"(?<!not\ )(?<!n['’]t\ )"  # it does not point to ..., it doesn't suggest ...

# The word for the answer, and what may stand between it and the answer. A few lines a language; no grammar is meant.
_ANSWER_WORDS = (
    r"antwort|lösung|réponse|respuesta|risposta|resposta|antwoord|odpowiedź|odpověď|odpoveď|svaret|svar|vastaus|válasz"
    r"|răspunsul|răspuns|cevap|yanıt|jawaban|jawapan|đáp\ án|câu\ trả\ lời|trả\ lời|απάντηση|ответ|відповідь|отговор|одговор"
    r"|الإجابة|الجواب|إجابة|پاسخ|جواب|उत्तर|जवाब|উত্তর|பதில்|సమాధానం|התשובה|תשובה"
)
_UNSPACED_ANSWER_WORDS = r"答案|答え|解答|正解|回答|정답|답변|답|คำตอบ"
_ADJECTIVES = (
    r"richtige|korrekte|endgültige|correcte|bonne|exacte|finale|est\ donc|correcta|corretta|giusta|esatta|correta|certa|final"
    r"|juiste|poprawna|správná|rätt|oikea|helyes|corect|doğru|yang\ benar|yang\ tepat|đúng|cuối\ cùng|σωστή|правильный|верный"
    r"|правильна|正确|正確|最终|最終|的|الصحيحة|الصحيح|النهائية|صحیح|درست|सही|अंतिम|সঠিক|ที่ถูกต้อง|הנכונה|הסופית|lautet|daher|also"
    r"|donc|por\ lo\ tanto|pues|quindi|portanto|así|таким\ образом"
)
_COPULAS = (
    r"ist|lautet|wäre|est|es|è|é|is|to|je|är|er|on|este|adalah|ialah|là|είναι|это|є|е|是|为|為|應該是|应该是|应为|は|が|은|는|이|가"
    r"|هي|هو|است|है|हैं|হল|হলো|คือ|היא|הוא|sarà|será|sera"
)
_FOREIGN_ANSWER = (
    rf"(?:(?<!\w)(?:{_ANSWER_WORDS})|{_UNSPACED_ANSWER_WORDS})(?:\s?(?:{_ADJECTIVES})(?!\w))*"
    rf"(?:\s?(?:{_COPULAS}))?(?:\ (?:{_ADJECTIVES})(?!\w))*\s*(?:[:=–—]+|-(?=\s))?\s*"
)

_THAT_FITS = (  # the option that best completes the sentence is ...
    r"\ (?:that|which)(?:\ (?:is|would\ be|can\ be))?"
    r"(?:\ (?:best|most|only|clearly|correctly|accurately|closely|logically)){0,2}"
    r"\ (?:fits?|completes?|match(?:es)?|answers?|describes?|explains?|represents?|makes?|suits?|satisf(?:y|ies)|corresponds?"
    r"|follows?|aligns?|meets?|supported|suited)(?:\ (?!(?:because|since|as|so|which|not)\b)[^\s.,;:()]+){0,8}"
)
_OF_IT = (
    r"(?:\ (?:to|for|of|among|from)\ (?:this|the|these|those|them|all)(?:\ \w+)?(?:\ \w+(?=\ is\b))?"
    rf"|\ here|\ left|\ remaining|{_THAT_FITS})?"
)
_IS = (
    r"(?:(?:,\ (?:therefore|then|thus|hence|of\ course),)?(?:[\"']?\s*(?:[:=–—]+>?|-+(?:>|(?=\s)))"
    rf"|\s+(?:is|would\ be|will\ be|must\ be|should\ be|has\ to\ be|remains|becomes|equals)\b{_ADVERB}:?))"
)
_COMMITS = (
    r"\b(?:i|we)(?:['’](?:d|ll)|\ would|\ will|\ must|\ should|\ can)?(?:\ therefore|\ thus)?"
    r"\ (?:choose|select|pick|chose|selected|go\ with|opt\ for|settle\ on|answer(?:\ with)?|conclude(?:\ that)?(?:\ it\ is)?)\b"
)
_SO = (
    r"(?:therefore|thus|so|hence|consequently|ergo|as\ a\ result|in\ the\ end|this\ means(?:\ that)?"
    r"|in\ conclusion|in\ summary|overall|finally|final)"
)

OPTION_IS = re.compile(  # what stands before a stated option
    rf"""
    \b(?=[abcefghimoprstw])                                                 # no more than a look where none can begin
    (?: \b(?:(?:answer|{GOOD}\ (?:option|choice|one|statement|answer)){_OF_IT}{_IS}|(?:solution|conclusion|ans){_OF_IT}\s*:
          |(?:option|choice|statement|one){_THAT_FITS}{_IS}|(?:my|our)\ (?:choice|pick|selection|guess|option){_IS})
      | {_COMMITS}
      | \b(?:choose|select|pick)(?=\ (?:option|choice|answer|\())
      | \b(?:it|this|that)(?:['’]s|\ is|\ must\ be|\ has\ to\ be)(?=\ (?:option|choice)\ |\ \([a-z]\))
      | (?P<so>(?<![\w,]\ )(?<!\w){_SO}(?:[,:]|\ (?:it(?:['’]s|\ is|\ must\ be)|this\ is|the|we\ have))?(?=\s))
    )\s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
WEAKLY_IS = re.compile(  # what stands before an option that counts where nothing else is stated
    rf"""
    \b(?=[acilps])
    (?: {_NOT_BEFORE}\b(?:points?|pointing)\ to\b
      | {_NOT_BEFORE}\b(?:suggests?|indicates?)\b
      | (?<!not\ )\ba\ (?:clear\ |typical\ )?case\ of\b
      | \bcause\ (?:is|must\ be)\b
      | \b(?:left\ with|leaves(?:\ us)?(?:\ with)?)\b(?:\ only)?(?:\ the\ answer\ as)?
    )\s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
IS_OPTION = re.compile(  # what stands behind one; but `is right for`, `is correct if` state nothing
    rf"""
    \s+(?:is|are|must\ be|would\ be|seems)\s+(?:therefore\ |thus\ |clearly\ )?(?:the\s+)?(?:only\s+)?
    (?: (?:correct|right)\b(?!\s+(?:for|if|in|to|about|when)\b)
      | (?:{GOOD}\s+)?(?:answer|option|choice)\b )
    """,
    re.IGNORECASE | re.VERBOSE,
)
FOREIGN_IS = re.compile(unicodedata.normalize("NFKC", _FOREIGN_ANSWER), re.IGNORECASE)  # as `plain_text` has it
TEXT_IS = re.compile(
    rf"""\b(?=[acefhiorst])
    (?: \b(?:{GOOD}\ )?answer{_OF_IT}{_IS} | \b(?:solution|conclusion|ans|result)\s*:
      | (?P<so>(?<![\w,]\ )(?<!\w){_SO}(?:,|:)?(?=\s))
      | (?P<total>\bin\ (?:total|all)\b,?|\baltogether\b,?) )\s*""",
    re.IGNORECASE | re.VERBOSE,
)
IS_TEXT = re.compile(
    r"\s+(?:is|must be|would be)\s+(?:the\s+)?(?:only\s+)?(?:(?:correct|right|final|best)\s+)?answer\b", re.IGNORECASE
)
CONDITION = re.compile(r"(?:and |so |but )?(?:if|suppose|assume|assuming|let us assume)\b", re.IGNORECASE)
HEDGE = re.compile(  # one might think the answer is ...
    r"\b(?:may|might|could|would|some|people|students?|many|you|someone)\b[^.;]{0,40}"
    r"\b(?:say|think|argue|believe|assume|guess|claim|tempted)\b[^.;,]{0,40}$",
    re.IGNORECASE,
)
RETRACTS = re.compile(r"(?:no|wait|actually|correction|sorry|hmm|oops)\b[,.:;!—-]*\s*", re.IGNORECASE)

# What a text in lower case must hold, one of them, for a pattern above to find anything: a look that costs little.
FOREIGN_SIGNS = tuple("antwo|spuesta|sposta|svar|vastaus|cevap|jawa".split("|"))
TAIL_SIGNS = ("answer", "option", "choice", "correct", "right")
SIGNS = tuple(
    "answer|option|cho|correct|right|select|pick|go with|opt for|settle|conclu|solution|statement|ans:|ans.|guess"
    "| one | (".split("|")
)
SIGNS_OF_NUMBER = ("ans ", "result", "in total", "in all", "altogether")
_FIRST_WORDS = frozenset(  # of a line, or of its part behind a colon, that concludes or takes back
    "therefore thus so hence consequently ergo as in this overall finally final no wait actually"
    " correction sorry hmm oops".split()
)
_WITHIN_SIGNS = (" so ", " so,", " thus", " hence", " therefore", " consequently")


def may_conclude(line: str) -> bool:
    """Tell whether a line, in lower case, may hold a conclusion that begins with `so` or its like."""
    return line.partition(" ")[0].rstrip(",.:;!—-") in _FIRST_WORDS or holds(line, _WITHIN_SIGNS)


_MARKUP = re.compile(r"[*_`\\$#<{>]|^- ", re.MULTILINE)
_REPLACED = (  # in this order
    (re.compile(r"\\\[|\\\]|\\\(|\\\)|\\[,;!]|~"), " "),
    (re.compile(r"\\(?:d|t)?frac\s*\{(-?[\d.]+)\}\s*\{([\d.]+)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|operatorname|mbox|rm|bf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\$\$"), ""),
    (re.compile(r"\$(?=\S)([^$\n]{1,60}?)(?<=\S)\$(?![\d])"), r"\1"),
    (re.compile(r"\\(?:boxed|fbox|framebox)\s*\{\s*([^{}]*)\}"), r" answer: \1 "),
    (re.compile(r"\\boxed\s+(\w+)"), r" answer: \1 "),
    (re.compile(r"\\(?:times|cdot)"), "×"),
    (re.compile(r"\\([%$&#_{}])"), r"\1"),
    (
        re.compile(
            r"</?(?:answer|final_answer|final|response|output|b|strong|i|em|u|sub|sup|p|span|li|ul|ol)>", re.IGNORECASE
        ),
        " ",
    ),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\*{2,}|(?<![\d\s])\*|(?<!\d)\*(?=\S)|\*(?![\d\s])|`+|(?<!\w)_+|_+(?!\w)"), ""),  # but for 5 * 2
    (re.compile(r"\s+(?=[.,;:!?](?:\s|$))"), ""),
)
_BULLET = re.compile(r"^(?:>\s*|[-•]\s+)+")
_TAGGED = re.compile(r"<(?:answer|final_answer|final)>", re.IGNORECASE)
_LAST_HASHES = re.compile(r"^\s*####\s*")


def needs_plain(text: str) -> bool:
    """Tell whether `plain_text` would change a line of the text."""
    return not text.isascii() or bool(_MARKUP.search(text))


def plain_text(sentence: str) -> str:
    r"""Return a sentence without Markdown, LaTeX and typographic forms.

    `\boxed{b}`, `#### b` and `<answer>b` become `answer: b`.
    """
    sentence = _BULLET.sub("", sentence)
    text = _LAST_HASHES.sub("answer: ", _TAGGED.sub(" answer: ", sentence))
    if not text.isascii():
        text = unicodedata.normalize("NFC", ascii_numbers(text))
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())
