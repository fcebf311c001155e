"""What real teachers write, kind by kind: the answer that a text states and what is left of the text, each written out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question

GAS = Question("g", "Which gas do plants take in?", ("helium", "carbon dioxide", "neon", "a plants' sugar"), 1)
PENS = Question("p", "Robin has 7 pens and gets 3 more. How many pens has Robin?", (), "10")
CITY = Question("c", "What is the capital of France?", (), "Paris")


def stated(text: str, question: Question) -> int | str | None:
    return parse_rationale(text, parse_question(question)).stated


def left(text: str, question: Question = GAS) -> str:
    return parse_rationale(text, parse_question(question)).text


CONCLUSIONS = [  # no full stop is needed
    ("Plants need it\nThus, the answer is (b)", 1),
    ("Plants need it.\n\nSo the answer is B", 1),
    ("Leaves take it in. Hence the correct option is b", 1),
    ("The option that best completes the sentence is (b).", 1),
    ("The only option which is best supported by this evidence is (b)", 1),
    ("The answer that fits best is carbon dioxide.", 1),
    ("The answer choice that makes the most sense is B", 1),
    ("The option that plants do not take in is neon.", None),
    ("The option that best fits is not (a).", None),
    ("**Answer: (b)**", 1),
    ("Leaves take it in.\n\n**Answer:** B", 1),
    ("__Final answer__: **b**", 1),
    (r"\boxed{b}", 1),
    (r"Thus $\boxed{\text{B}}$", 1),
    (r"The final answer is: \(\boxed{(b)}\).", 1),
    ("$b$", 1),
    ("The answer is $B$.", 1),
    ("The answer is $$(b)$$", 1),
    ("Leaves take it in.\n#### b", 1),
    ("Leaves take it in.\n#### (B)", 1),
    ("Leaves take it in.\n####b", 1),
    ("Answer: b", 1),
    ("answer - B", 1),
    ("ANSWER = (b)", 1),
    ("(b) carbon dioxide", 1),
    ("Leaves breathe.\nb) carbon dioxide", 1),
    ("B. Carbon dioxide.", 1),
    ("The answer is B: carbon dioxide", 1),
    ("The answer is b - carbon dioxide", 1),
    ("Therefore, the answer is B carbon dioxide", 1),
    ("B", 1),
    (" (b) ", 1),
    ("B.", 1),
    ("carbon dioxide", 1),
    ("Carbon dioxide.", 1),
    ("**Carbon dioxide**", 1),
    ("Answer:\n(b)", 1),
    ("### Final Answer\nB", 1),
    ("The answer is:\n\n**B**", 1),
    ('{"answer": "b"}', 1),
    ("<answer>B</answer>", 1),
    ("Leaves breathe. <answer>\n(b)\n</answer>", 1),
    ("I would choose option B.", 1),
    ("I'd go with (b).", 1),
    ("We select b.", 1),
    ("Therefore, (b).", 1),
    ("So, it is (b) carbon dioxide.", 1),
    ("Thus: carbon dioxide.", 1),
    ("The answer is (b), because (a) and (c) are noble gases.", 1),
    ("The answer is (b) and not (a).", 1),
    ("The answer must be (b) rather than (c).", 1),
    ("Option B is therefore the correct choice.", 1),
    ("B is correct.", 1),
    ("The answer is (a). Wait, no: the answer is (b).", 1),
    ("The answer is (a).\nNo, (b).", 1),
    ("\\textbf{Answer: B}", 1),
    ("The answer is option **(B) carbon dioxide**", 1),
]
NOTHING = [  # nothing is committed
    ("(b) tired(d) coffee shop", None),
    ("(a) helium (b) carbon dioxide", None),
    ("So the answer is (a) helium(b) carbon dioxide(c) neon.", None),
    ("The answer is either (a) or (c).", None),
    ("So the answer is either helium or neon.", None),
    ("It is either (c) or (e)", None),
    ("The answer is (a) helium or (c) neon.", None),
    ("The answer is a, b, or c.", None),
    ("Both (a) and (b) are correct.", None),
    ("The answer must be a gas. So the answer is (a) or (b).", None),
    ("Some might say the answer is (a).", None),
    ("One could think that the answer is helium.", None),
    ("The answer isn't (a).", None),
    ("Which is it?\n(a) helium\n(b) carbon dioxide\n(c) neon", None),
    ("If the answer is (b), plants grow.", None),
    ("Is it (b)?", None),
    ("The answer is unclear.", None),
    ("A plant takes in gas.", None),
    ("I do not know.", None),
]
LANGUAGES = [
    ("Die richtige Antwort ist (b).", 1),
    ("Antwort: B", 1),
    ("Die Antwort lautet also b", 1),
    ("La bonne réponse est (b).", 1),
    ("Réponse : B", 1),
    ("La réponse est donc carbon dioxide.", 1),
    ("La respuesta correcta es (b).", 1),
    ("Respuesta: b)", 1),
    ("Por lo tanto, la respuesta es B.", 1),
    ("La risposta corretta è (b)", 1),
    ("A resposta correta é B.", 1),
    ("Het juiste antwoord is b.", 1),
    ("Правильный ответ: (b).", 1),
    ("Ответ: b", 1),
    ("Ответ — (b)", 1),
    ("Odpowiedź: b", 1),
    ("Rätt svar är (b).", 1),
    ("答案是B。", 1),
    ("答案：(b)", 1),
    ("因此，正确答案是 b。", 1),
    ("答えはBです。", 1),
    ("正解は（b）", 1),
    ("정답은 (b)입니다.", 1),
    ("정답: B", 1),
    ("सही उत्तर (b) है।", 1),
    ("उत्तर: b", 1),
    ("الإجابة الصحيحة هي (b).", 1),
    ("الجواب: b", 1),
    ("คำตอบคือ (b)", 1),
    ("Đáp án đúng là B.", 1),
    ("Doğru cevap: b", 1),
    ("Jawaban yang benar adalah B", 1),
    ("התשובה היא (b).", 1),
    ("Η απάντηση είναι (b).", 1),
]
NUMBERS = [  # gold is 10
    ("Therefore, Robin has 10 pens in total.", "10"),
    ("So Robin has 7 + 3 = 10 pens", "10"),
    ("In total, Robin has 10 pens.", "10"),
    ("Thus there are 10 pens altogether.", "10"),
    ("7 and 3 make 10.\n#### 10", "10"),
    ("7 and 3 make 10.\n### 10\n", "10"),
    ("### 10.\n", "10"),
    ("7 and 3 make 10. The answer is 10.\n### 2\nSam has 4 pens. The answer is 4.", "10"),
    (r"\boxed{10}", "10"),
    (r"The answer is $\boxed{10\text{ pens}}$.", "10"),
    ("**Answer:** 10 pens", "10"),
    ("10", "10"),
    ("10 pens", "10"),
    ("The answer is 1e1.", "10"),
    ("The answer is 10.00.", "10"),
    ("The answer is $20/2$.", "10"),
    (r"The answer is \frac{20}{2}", "10"),
    ("The answer is −10.", "-10"),
    ("The answer is .5", "0.5"),
    ("The answer is ½.", "0.5"),
    ("The answer is 1 1/2.", "1.5"),
    ("The answer is 1,000.50.", "1000.5"),
    ("The answer is 3/4 of them.", "0.75"),
    ("The answer is 50%.", "0.5"),
    ("答案是10。", "10"),
    ("Die Antwort ist 10.", "10"),
    ("Ответ: 10 ручек", "10"),
    ("الإجابة هي ١٠", "10"),
    ("The answer is 10 or 11.", None),
    ("7 + 3 = 10.", None),
    ("So 7 pens are old. 7 + 3 = 10", None),
    ("Robin may have 12 pens?", None),
]
TEXTS = [
    ("Paris", "Paris"),
    ("**Paris**", "Paris"),
    (r"\boxed{\text{Paris}}", "Paris"),
    ("France is large.\n#### Paris", "Paris"),
    ("Answer: Lyon", "lyon"),
    ("Die Antwort ist Paris.", "Paris"),
    ("La réponse est Lyon.", "lyon"),
    ("答案是Paris。", "Paris"),
    ("The answer is Paris or Lyon.", None),
    ("It is a large city in the north.", None),
]
MARKUP = [  # what is said, without what is thought
    ("<think>Helium? No. The answer is (a).</think>\nPlants take in carbon dioxide. The answer is (b).", 1),
    ("<think>\nHelium?\n</think>\n\nB", 1),
    ("<thinking>the answer is (a)</thinking> The answer is (b).<|im_end|>\n<|im_start|>user\nThe answer is (c).", 1),
    ("Helium, the answer is (a).\n</think>\nThe answer is (b).", 1),
    ("[THINK]The answer is (a).[/THINK]The answer is (b).</s>", 1),
    ("<think>The answer is (a). The answer is (b", None),
    ("◁think▷ the answer is (a) ◁/think▷ The answer is (b).", 1),
    (
        "<|channel|>analysis<|message|>The answer is (a).<|end|><|start|>assistant<|channel|>final<|message|>"
        "The answer is (b).<|return|>",
        1,
    ),
    ("<|channel|>analysis<|message|>The answer is (a)", None),
    ("analysisWe need one. The answer is (a).assistantfinalThe answer is (b).", 1),
    ("The answer is (b).<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nThe answer is (c).", 1),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nThe answer is (b).<|eot_id|>", 1),
    ("[INST] Is the answer (a)? The answer is (a). [/INST] The answer is (b). </s>", 1),
    ("The answer is (b). [INST] The answer is (c). [/INST]", 1),
    ("The answer is (b).\nUser: The answer is (c).", 1),
    ("The answer is (b).\n\nHuman: Why?\nAssistant: The answer is (c).", 1),
    ("The answer is (b). User: And now? The answer is (c).", 1),
    ("Assistant: The answer is (b).", 1),
    ("The answer is (b).<end_of_turn>\n<start_of_turn>user\nThe answer is (c).", 1),
    ("```\nThe answer is (b).\n```", 1),
]
RUN_ON = [
    (
        "So the answer is (b) carbon dioxide. Q: Which gas is light?\nAnswer Choices:\n(a) helium A: So the answer is (a)",
        1,
        "So the answer is (b) carbon dioxide.",
    ),
    (
        "Leaves take it in. So the answer is (b). Question: Which gas is light? (a) helium",
        1,
        "Leaves take it in. So the answer is (b).",
    ),
    (
        "Leaves take it in, so. So the answer is (b) Q: Which gas is light? A: (a)",
        1,
        "Leaves take it in, so. So the answer is (b).",
    ),
    (
        "Leaves take it in. The answer is (b). **Question 2:** Which gas is light? The answer is (a).",
        1,
        "Leaves take it in. The answer is (b).",
    ),
    (
        "Leaves take it in. The answer is (b).\n\nNext question: Which is light? The answer is (a).",
        1,
        "Leaves take it in. The answer is (b).",
    ),
    (
        "Leaves take it in. The answer is (b). Answer Choices: (a) helium (b) neon",
        1,
        "Leaves take it in. The answer is (b).",
    ),
    (
        "Analyze the answer choices: helium is noble, neon is, too. The answer is (b).",
        1,
        "Analyze the answer choices: helium is noble, neon is, too. The answer is (b).",
    ),
]
TRIGGERS = [
    ("Let's think step by step. Растения поглощают углекислый газ.", "Растения поглощают углекислый газ."),
    (
        "Let's think step by step. Im ersten Schritt nehmen Pflanzen Kohlendioxid auf. Dann wachsen sie.",
        "Im ersten Schritt nehmen Pflanzen Kohlendioxid auf. Dann wachsen sie.",
    ),
    (
        "Let's think step by step. Begriffe sind wichtig. Pflanzen nehmen es auf.",
        "Begriffe sind wichtig. Pflanzen nehmen es auf.",
    ),
    ("Let's think step by step. 植物吸收二氧化碳。", "植物吸收二氧化碳。"),
    ("Let's think step by step. पौधे गैस लेते हैं। वे बढ़ते हैं।", "पौधे गैस लेते हैं। वे बढ़ते हैं।"),
    ("Let's think step by step. Let's think step by step. Plants take it in.", "Plants take it in."),
    (
        "We let us think step by step about it. Plants take it in.",
        "We let us think step by step about it. Plants take it in.",
    ),
]


@pytest.mark.parametrize(("text", "expected"), [*CONCLUSIONS, *NOTHING, *LANGUAGES, *MARKUP])
def test_the_option_that_a_text_states(text: str, expected: int | None) -> None:
    assert stated(text, GAS) == expected


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_the_number_that_a_text_states(text: str, expected: str | None) -> None:
    assert stated(text, PENS) == expected


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_the_short_text_that_a_text_states(text: str, expected: str | None) -> None:
    assert stated(text, CITY) == expected


@pytest.mark.parametrize(("text", "expected", "rest"), RUN_ON)
def test_a_foreign_question_is_cut_off_wherever_it_begins(text: str, expected: int, rest: str) -> None:
    assert (stated(text, GAS), left(text)) == (expected, rest)


@pytest.mark.parametrize(("text", "rest"), TRIGGERS)
def test_the_trigger_goes_and_no_word_behind_it(text: str, rest: str) -> None:
    assert left(text) == rest


# --- forms put together ----------------------------------------------------------------------------------------------

WRAPS = [  # around a conclusion
    "{}",
    "**{}**",
    "__{}__",
    "*{}*",
    "`{}`",
    "> {}",
    "- {}",
    "### {}",
    "<b>{}</b>",
    "<|im_start|>assistant\n{}<|im_end|>",
    "{}</s>",
    "<think>\nThe answer is (a).\n</think>\n\n{}",
    "The answer is (a).</think>{}",
    "[INST] The answer is (a). [/INST] {}",
    "{}\nUser: The answer is (c).",
    "{}\n\nQ: Which is light?\nAnswer Choices:\n(a) helium\nA: The answer is (a).",
    "<|channel|>analysis<|message|>(a)<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
]
LEADS = [
    "The answer is {}",
    "So the answer is {}",
    "Therefore, the correct answer is: {}",
    "Thus the best option is {}",
    "Answer: {}",
    "Final answer: {}",
    "Hence the right choice must be {}",
    "My answer is {}",
    "I choose {}",
    "Die richtige Antwort ist {}",
    "La bonne réponse est {}",
    "La respuesta correcta es {}",
    "Правильный ответ: {}",
    "答案是 {}",
    "答えは {}",
    "정답은 {}",
    "الإجابة هي {}",
    "सही उत्तर {}",
    "คำตอบคือ {}",
    "Doğru cevap: {}",
    "Đáp án là {}",
    "{}",
]
OPTIONS = ["({})", "({}) {text}", "{})", "{}", "[{}]", "\\boxed{{{}}}", "$\\boxed{{\\text{{({})}}}}$", "${}$"]
STOPS = ["", ".", "!", "。", " .", "\n"]
BEFORE = [
    "",
    "Leaves take gas in.\n",
    "Leaves take gas in. ",
    "Blätter nehmen Gas auf.\n",
    "Листья поглощают газ. ",
    "叶子吸收气体。",
    "पत्ते गैस लेते हैं। ",
    "Die Blätter.\n\n",
    "1. Look at (a): no.\n2. Look at (b): it may be.\n\n",
    "Leaves take gas in\n",
]


@settings(max_examples=400, deadline=None)
@given(*map(st.sampled_from, (WRAPS, LEADS, OPTIONS, STOPS, BEFORE)), st.booleans(), st.integers(0, 3))
def test_forms_put_together_state_what_they_were_made_of(
    wrap: str, lead: str, option: str, stop: str, before: str, upper: bool, index: int
) -> None:
    letter = "abcd"[index]
    shown = option.format(letter.upper() if upper else letter, text=GAS.choices[index])
    apart = before if before.endswith("\n") or lead != "{}" else before + "\n"  # an answer alone has a line of its own
    written = apart + wrap.format(lead.format(shown) + stop)
    if wrap.startswith(("> ", "- ", "###", "Assistant")) and before:
        written = before.rstrip() + "\n" + wrap.format(lead.format(shown) + stop)
    if "think>" in wrap or "INST" in wrap or "channel" in wrap or "im_start" in wrap:
        written = wrap.format(apart + lead.format(shown) + stop)
    assert stated(written, GAS) == index, written


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(WRAPS),
    st.sampled_from([lead for lead in LEADS if "choose" not in lead]),
    st.integers(-999, 9999),
    st.sampled_from(["", ".", " pens.", "\n"]),
)
def test_numbers_put_together_are_stated(wrap: str, lead: str, number: int, stop: str) -> None:
    written = wrap.format(lead.format(f"{number:,}") + stop)
    assert stated(written, PENS) == str(number), written


@pytest.mark.parametrize(
    "unit",
    [
        "Let's think step by step. ",
        "Rationale: ",
        "Question: ",
        "<think>",
        "</think>",
        "[INST] ",
        "<|channel|>final<|message|>",
        "答案",
        "The answer is (a) or ",
        "\\boxed{",
        "$",
        "**",
        "####\n",
    ],
)
def test_200_kilobytes_of_one_thing_are_read_in_two_seconds(unit: str) -> None:
    start = time.process_time()
    parse_rationale(unit * (200_000 // len(unit)), parse_question(GAS))
    assert time.process_time() - start < 2  # linear: a quarter of it on most processors
