#!/usr/bin/env bash
# A study on two nodes of eight GPUs. Started again after any interruption, it goes on where it was.
#   sbatch studies/slurm.sh studies/paper/sentiment.yaml runs/sentiment
#SBATCH --job-name=babelscope
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
study=$1 out=$2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# srun takes the job's --cpus-per-task from here alone since Slurm 22.05.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" torchrun \
  --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 8 \
  --rdzv-backend c10d --rdzv-endpoint "$first:29500" --rdzv-id "$SLURM_JOB_ID" \
  -m babelscope study run "$study" --out "$out"
