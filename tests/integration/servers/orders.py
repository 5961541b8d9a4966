"""Gives Celery so many tasks, and prints how many were answered and how many failed.

python orders.py COUNT
"""

import json
import sys

import shop_celery

if __name__ == "__main__":
    results = [shop_celery.answer.delay("/") for _ in range(int(sys.argv[1]))]
    failed = sum(isinstance(r.get(timeout=50, propagate=False), Exception) for r in results)
    sys.stdout.write(json.dumps([len(results) - failed, failed]))
