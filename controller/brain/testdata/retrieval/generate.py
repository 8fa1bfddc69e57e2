"""Makes corpora.json and runbook/scores.json: what scikit-learn's TfidfVectorizer says about generated corpora, and about
a runbook as people have them (runbook/runbook.json, in the shape that is imported and exported; hand-written, as are the
queries in runbook/queries.json).

Run with scikit-learn installed, beside this file: python generate.py > corpora.json
                                                   python generate.py runbook > runbook/scores.json

Each case holds documents, queries, `max_features`, and for each query the cosine with every document. Where
`max_features` has to choose among terms that occur equally often, scikit-learn's choice depends on an unstable sort
(and on the processor); those cases are made with a stable one, which chooses the first in order of code points.
`unmodified` says whether scikit-learn as it is gives the same numbers.
"""

import json
import pathlib
import random
import sys

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity


class StableVectorizer(TfidfVectorizer):
    """Chooses among terms that occur equally often by their order."""

    def _limit_features(self, X, vocabulary, high=None, low=None, limit=None):
        totals = np.asarray(X.sum(axis=0)).ravel()
        if limit is None or len(totals) <= limit:
            return super()._limit_features(X, vocabulary, high, low, None)
        kept = np.zeros(len(totals), dtype=bool)
        kept[(-totals).argsort(kind="stable")[:limit]] = True
        new = np.cumsum(kept) - 1
        for term, old in list(vocabulary.items()):
            if kept[old]:
                vocabulary[term] = new[old]
            else:
                del vocabulary[term]
        return X[:, np.where(kept)[0]]


def scores(kind, documents, query, features):
    vectorizer = kind(stop_words="english", max_features=features, ngram_range=(1, 2), sublinear_tf=True)
    matrix = vectorizer.fit_transform(documents + [query])
    return cosine_similarity(matrix[-1:], matrix[:-1]).ravel().tolist()


LOG = """ERROR Out of memory: kill process {n} (python) score {n} or sacrifice child
java.lang.OutOfMemoryError: Java heap space at com.example.App.main(App.java:{n})
level=error msg="connection refused" host=10.0.0.{n} port={n}
WARN request took {n} ms, the limit is {n}
Traceback (most recent call last): File "app.py", line {n}, in handler
panic: runtime error: index out of range [{n}] with length {n}
HTTP 503 Service Unavailable after {n} ms from upstream buggy_app
container buggy-app-v2-replica-{n} exited with code 137
CPU usage at {n} % for {n} s; throttled {n} periods
Память: {n} МБ из {n} МБ; процесс завершён
数据库 连接 超时 {n} 毫秒
Größe überschritten: Straße_{n} ist voll, İSTANBUL ΣΊΣΥΦΟΣ
it's the system's own: don't, can't, we'll -- and so on {n}
x_{n} _private __dunder__ a1 b2 c3 _ 9 99 no_op
café e\u0301te\u0301 naïve ﬁnd ²³ ½ Ⅷ \u0903ab\u0903cd \u24d0\u24d1""".split("\n")

STOPS = "the of and a to in is it was for on with as by at from be this that which whose amongst".split()


def line(rng, words):
    if rng.random() < 0.4:
        return " ".join(rng.choice(words + STOPS) for _ in range(rng.randint(1, 14)))
    template = rng.choice(LOG)
    while "{n}" in template:
        template = template.replace("{n}", str(rng.randint(0, 60)), 1)
    return template


def text(rng, words):
    return rng.choice(["\n", " ", ". "]).join(line(rng, words) for _ in range(rng.randint(1, 6)))


def case(seed, features):
    rng = random.Random(seed)
    words = ["".join(rng.choice("abcdeimnorst") for _ in range(rng.randint(1, 5))) for _ in range(rng.randint(3, 60))]
    documents = [text(rng, words) for _ in range(rng.randint(1, 12))]
    queries = [text(rng, words), rng.choice(documents), "entirely unknown zzzz words", rng.choice(STOPS) + " ", words[0]]
    made, unmodified = [], True
    for query in queries:
        expected = scores(StableVectorizer, documents, query, features)
        unmodified &= np.allclose(expected, scores(TfidfVectorizer, documents, query, features), atol=1e-12)
        made.append({"text": query, "scores": expected})
    return {"seed": seed, "features": features, "unmodified": bool(unmodified), "documents": documents, "queries": made}


RUNBOOK = pathlib.Path(__file__).parent / "runbook"


def runbook():
    """The scores of every entry, and the ids of the two that are answered: the best above 0.05, the earlier one first
    where two are equal."""
    entries = json.loads((RUNBOOK / "runbook.json").read_text(encoding="utf-8"))
    documents = [" ".join([entry["alert_type"], entry["logs"], entry["root_cause"]]) for entry in entries]
    made, unmodified = [], True
    for query in json.loads((RUNBOOK / "queries.json").read_text(encoding="utf-8")):
        expected = scores(StableVectorizer, documents, query, 5000)
        unmodified &= np.allclose(expected, scores(TfidfVectorizer, documents, query, 5000), atol=1e-12)
        best = sorted((-round(score, 12), place) for place, score in enumerate(expected) if score > 0.05)[:2]
        answered = [entries[place]["incident_id"] for _, place in best]
        made.append({"text": query, "answered": answered, "scores": expected})
    return {"unmodified": bool(unmodified), "queries": made}


def corpora():
    limits = [5000] * 112 + [1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 300] * 8
    cases = [case(seed, limit) for seed, limit in enumerate(limits)]
    return {"cases": cases}


def main():
    made = runbook() if sys.argv[1:] == ["runbook"] else corpora()
    json.dump({"sklearn": sklearn.__version__, **made}, sys.stdout, ensure_ascii=False, indent=0)


if __name__ == "__main__":
    main()
