"""`python -m local`: hosts the function app on one machine, no Azure needed."""
