"""Alchemy (Wang, King, Porcel et al. 2021): stones, potions and a hidden chemistry that is drawn anew every episode."""
