"""Asks scikit-learn what `make bench-retrieval` asks our index: fits corpus and query of a JSON file, answers the time that
takes and the scores. Timed is scikit-learn as it is; the scores come from the stable choice of features that generate.py
explains."""

import json
import statistics
import sys
import time

from generate import StableVectorizer, scores
from sklearn.feature_extraction.text import TfidfVectorizer

with open(sys.argv[1], encoding="utf-8") as file:
    asked = json.load(file)
documents, query = asked["documents"], asked["query"]
times = []
for _ in range(5 if len(documents) <= 1000 else 1):
    start = time.perf_counter()
    scores(TfidfVectorizer, documents, query, 5000)
    times.append((time.perf_counter() - start) * 1e3)
found = scores(StableVectorizer, documents, query, 5000)
json.dump({"milliseconds": statistics.median(times), "scores": found}, sys.stdout)
