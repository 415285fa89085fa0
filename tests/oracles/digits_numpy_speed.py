"""The NumPy side of the README's speed comparison: one epoch of softmax
regression on digits.csv, float32, batches of 32. Run from the repository's
root; the other side is `fedwasm local` with epochs = 1 on the same file.
"""
import csv, numpy as np
rows = list(csv.reader(open("examples/data/digits.csv")))[1:]
t = np.array(rows, dtype=np.float32); x=t[:,:-1]; y=t[:,-1].astype(int)
s=x.std(0); s[s==0]=1; x=(x-x.mean(0))/s
rng=np.random.default_rng(1); w=np.zeros((10,64),np.float32); b=np.zeros(10,np.float32)
p=rng.permutation(len(x))
for i in range(0,len(x),32):
    k=p[i:i+32]; xb=x[k]; z=xb@w.T+b; z-=z.max(1,keepdims=True); e=np.exp(z); e/=e.sum(1,keepdims=True)
    e[np.arange(len(k)),y[k]]-=1; e/=len(k); w-=.1*(e.T@xb); b-=.1*e.sum(0)
print(w.sum())
