"""A run as one HTML page that answers: is it good, and why is it wrong?"""
